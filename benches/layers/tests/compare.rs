//! The programs, as they are called.

use std::process::Command;

use squall_benches::table::Table;

#[test]
fn each_operation_is_measured_with_its_reference() {
    for (program, subjects, operations) in [
        (
            env!("CARGO_BIN_EXE_tasks"),
            ["LocalRuntime", "null", "ioloop"],
            &["spawn, run", "wake, poll"][..],
        ),
        (
            env!("CARGO_BIN_EXE_wake"),
            ["eventfd", "null", "ioloop"],
            &["round trip"],
        ),
        (
            env!("CARGO_BIN_EXE_parse"),
            ["copying", "null", "iostream"],
            &["in memory", "with system"],
        ),
    ] {
        let output = Command::new(program).arg("1").output().unwrap();
        assert!(output.status.success());
        let tables = Table::all_in(std::str::from_utf8(&output.stdout).unwrap());
        for operation in operations {
            for subject in subjects {
                let time = tables[0].number([operation, subject], "ns");
                assert!(
                    time.is_some_and(|time| time > 0.0),
                    "{operation} of {subject}"
                );
            }
        }
    }
}
