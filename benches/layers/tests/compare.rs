//! The programs, as they are called.

use std::process::Command;

use squall_benches::table::Table;

#[test]
fn each_operation_is_measured_with_its_reference() {
    for (program, reference, operations) in [
        (
            env!("CARGO_BIN_EXE_tasks"),
            "LocalRuntime",
            &["spawn, run", "wake, poll"][..],
        ),
        (env!("CARGO_BIN_EXE_wake"), "eventfd", &["round trip"]),
    ] {
        let output = Command::new(program).arg("1").output().unwrap();
        assert!(output.status.success());
        let tables = Table::all_in(std::str::from_utf8(&output.stdout).unwrap());
        for operation in operations {
            for subject in [reference, "null", "ioloop"] {
                let time = tables[0].number([operation, subject], "ns");
                assert!(
                    time.is_some_and(|time| time > 0.0),
                    "{operation} of {subject}"
                );
            }
        }
    }
}
