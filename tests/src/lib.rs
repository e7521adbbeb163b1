//! The examples as programs, built when a test asks for them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

pub use test_support::{Client, Server, Signal};

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Starts an example.
pub fn start(name: &str) -> Server {
    Server::start(&mut Command::new(example(name)))
}

/// Starts an example that may open so many descriptors, of which it needs a dozen for itself.
pub fn start_with_descriptors(name: &str, limit: u32) -> Server {
    Server::start_with_descriptors(&Command::new(example(name)), limit)
}

/// Where the program of an example is. Cargo gives tests the programs of their own package only,
/// so the first who asks has it build them, into the folder where this test's program lies too.
pub fn example(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(build_examples);
    FOLDER.join(name)
}

fn build_examples() -> PathBuf {
    // TARGET/PROFILE/deps/THIS_TEST
    let this = env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).unwrap();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let status = cargo()
        .args(["build", "--quiet", "--package", "squall-examples", "--bins"])
        .args(["--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "the examples do not compile");
    folder.to_owned()
}

/// The cargo that runs this test.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
