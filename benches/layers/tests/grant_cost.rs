//! The program, as it is called.

use std::process::Command;

#[test]
fn each_way_has_its_time_and_its_allocations() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_grant_cost"));
    let output = program.arg("1").output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    for row in printed.lines().skip(1) {
        let mut numbers = row.split_whitespace().rev();
        let [allocations, time] = [(); 2].map(|()| numbers.next().unwrap().parse::<f64>().unwrap());
        assert!(time > 0.0 && allocations >= 0.0, "{row}");
    }
    assert_eq!(printed.lines().count(), 6);
}
