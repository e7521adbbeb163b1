//! What must not compile does not, and the compiler says what would help.
//!
//! Each file in `compile-fail` begins with lines `//~ TEXT`: the compiler has to say that.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use squall_tests::cargo;

#[test]
fn mistakes_do_not_compile_or_go_unexplained() {
    let files = files();
    let folder = make_package(&files);
    let complaints: Vec<String> = files
        .iter()
        .filter_map(|file| check(&folder, file))
        .collect();
    assert!(!files.is_empty());
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

/// Compiles one of them; returns what is wrong about how that went.
fn check(folder: &Path, file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).unwrap();
    let expected: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//~ "))
        .collect();
    assert!(!expected.is_empty(), "{} expects nothing", file.display());
    let output = cargo()
        .args([
            "check",
            "--offline",
            "--quiet",
            "--color",
            "never",
            "--bin",
            name(file),
        ])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let missing: Vec<&str> = expected
        .into_iter()
        .filter(|text| !said.contains(text))
        .collect();
    if output.status.success() {
        Some(format!("{} compiles", file.display()))
    } else if !missing.is_empty() {
        Some(format!(
            "{}: nothing of {missing:?} in:\n{said}",
            file.display()
        ))
    } else {
        None
    }
}

/// A package of its own, outside the workspace: one program per file, all on the same three
/// layers, whose dependencies are those of the workspace.
fn make_package(files: &[PathBuf]) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile-fail");
    fs::create_dir_all(&folder).unwrap();
    let mut manifest = String::from(
        "[workspace]\n\
         [package]\nname = 'compile-fail'\nversion = '0.0.0'\nedition = '2024'\nautobins = false\n\
         [dependencies]\n",
    );
    for layer in ["ioloop", "iostream", "tcpserver"] {
        let path = workspace.join(layer);
        manifest += &format!("squall-{layer}.path = '{}'\n", path.display());
    }
    for file in files {
        manifest += &format!(
            "[[bin]]\nname = '{}'\npath = '{}'\n",
            name(file),
            file.display()
        );
    }
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compile-fail");
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name(file: &Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}
