//! How large a server is and how long it takes to build: the least on the toolkit beside the least
//! on hyper, and the example `hello`, which has flags and a log as well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use squall_benches::dialogue::Protocol;
use squall_benches::http::Head;
use squall_benches::table::Table;

use crate::arguments::Arguments;
use crate::server::Server;
use crate::subject::Subject;
use crate::{Outcome, usage};

pub fn run(_arguments: &Arguments) -> Outcome<()> {
    let headings = [
        "profile",
        "subject",
        "stripped kB",
        "crates",
        "of others",
        "KiB at start",
        "build s",
    ];
    let mut table = Table::new(&headings);
    for package in &PACKAGES {
        table.push(measure(package)?);
    }
    println!("{table}");
    println!("Built from nothing with fat LTO, aborting panics, one codegen unit; crates: all");
    println!("under the program, and those of them that come from a registry; KiB at start:");
    println!("resident, most of it the C library's.");
    Ok(())
}

/// A program in a package that is built for itself.
struct Package {
    name: &'static str,
    package: &'static str,
    program: &'static str,
    /// From the folder of the benches.
    manifest: &'static str,
    /// Whether the package has nothing that the program does not need.
    is_alone: bool,
}

fn measure(package: &Package) -> Outcome<[String; 7]> {
    let target = TargetDirectory::new()?;
    let started = Instant::now();
    let program = build(package, &target.path)?;
    let seconds = started.elapsed().as_secs_f64();
    let crates = crates(package)?;
    let of_others = crates.iter().filter(|line| !is_ours(line)).count();
    let only_if_alone = |text: String| if package.is_alone { text } else { "-".into() };
    Ok([
        "release".to_string(),
        package.name.to_string(),
        format!("{:.0}", fs::metadata(&program)?.len() as f64 / 1000.0),
        only_if_alone(crates.len().to_string()),
        only_if_alone(of_others.to_string()),
        format!("{}", resident_at_start(&program)? / 1024),
        only_if_alone(format!("{seconds:.1}")),
    ])
}

fn build(package: &Package, target: &Path) -> Outcome<PathBuf> {
    let mut cargo = cargo("build", package);
    cargo.args(["--release", "--bin", package.program, "--target-dir"]);
    cargo.arg(target);
    for setting in [
        "lto='fat'",
        "panic='abort'",
        "strip=true",
        "debug=0",
        "codegen-units=1",
    ] {
        cargo.args(["--config", &format!("profile.release.{setting}")]);
    }
    succeed(cargo)?;
    Ok(target.join("release").join(package.program))
}

/// Lines of `cargo tree`, without the program itself.
fn crates(package: &Package) -> Outcome<Vec<String>> {
    let mut cargo = cargo("tree", package);
    cargo.args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let tree = succeed(cargo)?;
    let mut lines: Vec<String> = tree
        .lines()
        .skip(1)
        .map(|line| line.trim_end_matches(" (*)").to_string())
        .collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines)
}

/// A crate of this repository has its folder behind its version.
fn is_ours(line: &str) -> bool {
    line.contains(" (/")
}

fn resident_at_start(program: &Path) -> Outcome<u64> {
    let subject = Subject::parse(&program.to_string_lossy())?;
    let server = Server::start(&subject, &Protocol::Http(Head::Small))?;
    Ok(usage::resident_memory(server.process.pid())?)
}

fn cargo(command: &str, package: &Package) -> Command {
    let mut cargo = Command::new("cargo");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(package.manifest);
    cargo.args([command, "--package", package.package, "--manifest-path"]);
    cargo.arg(manifest);
    cargo
}

fn succeed(mut command: Command) -> Outcome<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Gone when dropped.
struct TargetDirectory {
    path: PathBuf,
}

impl TargetDirectory {
    fn new() -> Outcome<TargetDirectory> {
        let path = std::env::current_exe()?.with_file_name("size");
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        Ok(TargetDirectory { path })
    }
}

impl Drop for TargetDirectory {
    fn drop(&mut self) {
        // Not there if cargo has not come so far.
        let _ = fs::remove_dir_all(&self.path);
    }
}

const PACKAGES: [Package; 3] = [
    Package {
        name: "hyper",
        package: "squall-bench-hyper",
        program: "hyper_hello",
        manifest: "Cargo.toml",
        is_alone: true,
    },
    Package {
        name: "squall",
        package: "squall-bench-hello",
        program: "squall_hello",
        manifest: "Cargo.toml",
        is_alone: true,
    },
    Package {
        name: "hello",
        package: "squall-examples",
        program: "hello",
        manifest: "../Cargo.toml",
        is_alone: false,
    },
];
