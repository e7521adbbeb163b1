//! What single layers cost: programs of their own, since the rest has no need of the toolkit.

use std::process::Command;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::subject::Subject;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let name = arguments.command.name;
    let program = Subject::built(name, name)?;
    let mut command = Command::new(program.program());
    let status = command.arg(arguments.rounds().to_string()).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name}: {status}").into())
    }
}
