//! A server under test, as the command line describes it.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use crate::Outcome;

/// A program that takes `--address` and `--port` and prints `listening on ADDRESS:PORT`, or a
/// foreign one that knows its address by itself.
pub struct Subject {
    pub name: String,
    /// The program, then arguments of its own.
    command: Vec<String>,
    /// Where a foreign one listens, which prints nothing.
    pub address: Option<SocketAddr>,
}

impl Subject {
    /// From `[NAME[@ADDRESS:PORT]=]PROGRAM [ARGUMENT ...]`; without a name it is called like the
    /// program's file. With an address the command is foreign, and the shell's to take apart.
    pub fn parse(text: &str) -> Outcome<Subject> {
        let named = text.split_once('=');
        let named = named.filter(|(name, _)| !name.contains(['/', ' ']));
        let (name, command) = named.unwrap_or((file_name(text), text));
        if command.trim().is_empty() {
            return Err("no program".into());
        }
        match name.split_once('@').filter(|_| named.is_some()) {
            Some((name, address)) => Ok(Subject {
                name: name.to_string(),
                command: vec!["sh".into(), "-c".into(), format!("exec {command}")],
                address: Some(address.parse()?),
            }),
            None => Ok(Subject {
                name: name.to_string(),
                command: command.split_whitespace().map(String::from).collect(),
                address: None,
            }),
        }
    }

    /// A program that is built beside this one.
    pub fn built(program: &str, name: &str) -> Outcome<Subject> {
        let path = std::env::current_exe()?.with_file_name(program);
        if !path.exists() {
            return Err(format!("{program} is not built: benches/run builds it").into());
        }
        let path = path.into_os_string().into_string();
        Ok(Subject {
            name: name.to_string(),
            command: vec![path.map_err(|_| "path is not UTF-8")?],
            address: None,
        })
    }

    /// A script that starts a foreign server, where it is told to.
    pub fn installed(script: &str, name: &str) -> Outcome<Subject> {
        // Free a moment ago; whether it still is, is checked when the server is started.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        Ok(Subject {
            name: name.to_string(),
            command: vec![script.to_string(), address.port().to_string()],
            address: Some(address),
        })
    }

    pub fn with_argument(mut self, argument: &str) -> Subject {
        self.command.push(argument.to_string());
        self
    }

    pub fn program(&self) -> &str {
        &self.command[0]
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.args(&self.command[1..]);
        if self.address.is_none() {
            command.args(["--address", "127.0.0.1", "--port", "0"]);
        }
        command
    }

    pub fn command_with_descriptors(&self, maximum: usize) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {maximum}; exec \"$0\" \"$@\"")]);
        command.arg(self.program()).args(self.command().get_args());
        command
    }
}

fn file_name(text: &str) -> &str {
    let program = text.split_whitespace().next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_sign_in_an_argument_is_not_taken_for_a_name() {
        let subject = Subject::parse("./echo --mode=fast").expect("a subject");
        assert_eq!(subject.name, "echo");
        let subject = Subject::parse("old=./echo --mode=fast").expect("a subject");
        assert_eq!(subject.name, "old");
        assert_eq!(subject.command, ["./echo", "--mode=fast"]);
    }

    #[test]
    fn foreign_subject_is_given_no_address_and_keeps_its_quotes() {
        let subject = Subject::parse("web@127.0.0.1:80=nginx -g 'daemon off;'").expect("a subject");
        assert_eq!(subject.name, "web");
        assert_eq!(subject.address, Some(([127, 0, 0, 1], 80).into()));
        let command = subject.command();
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["-c", "exec nginx -g 'daemon off;'"]);
    }

    #[test]
    fn at_sign_behind_a_path_is_not_taken_for_an_address() {
        let subject = Subject::parse("./echo@2 --x=1").expect("a subject");
        assert_eq!(subject.address, None);
    }
}
