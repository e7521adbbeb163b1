//! The program, as it is called.

use std::process::Command;

#[test]
fn no_part_of_the_work_is_left_out() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_parse_frames"));
    let output = program.arg("1").output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    for (row, start) in printed.lines().skip(1).zip(["in memory", "with system"]) {
        let numbers = row.strip_prefix(start).unwrap().split_whitespace();
        let numbers: Vec<f64> = numbers.map(|word| word.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 5, "{row}");
        assert!(numbers.iter().all(|number| *number > 0.0), "{row}");
    }
    assert_eq!(printed.lines().count(), 3);
}
