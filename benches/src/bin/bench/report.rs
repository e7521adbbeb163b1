//! The whole bench in one go, written as Markdown: goal beside measured, then every table with the
//! command that it came from. `benches/RESULTS.md` is what this printed.

use std::fs;
use std::process::{Command, Stdio};

use squall_benches::table::Table;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::goals::{self, Sections};
use crate::kind::PEERS;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let kept = std::env::current_exe()?.with_file_name("report");
    fs::create_dir_all(&kept)?;
    let mut sections = Sections::new();
    let mut text = String::new();
    for (name, line) in SECTIONS {
        let file = kept.join(name).with_extension("md");
        if arguments.sections.contains(&name) {
            fs::write(&file, measure(line)?)?;
        }
        // Of an earlier report, if it was not asked for in this one.
        if let Ok(section) = fs::read_to_string(&file) {
            sections.insert(name, Table::all_in(&section));
            text += &format!("\n{section}");
        }
    }
    println!("# Results\n\n{}", machine());
    println!("## Goals\n\n{}", goals::table(&sections));
    println!("{}", goals::NOTES);
    println!(
        "## HTTP, as a ratio to `raw_http`\n\n{}",
        goals::summary(&sections)
    );
    print!("{text}");
    Ok(())
}

/// As a program of its own: what one measurement leaves behind is not the next one's, and one that
/// fails does not take the others with it.
fn measure(line: &str) -> Outcome<String> {
    eprintln!("bench {line} ...");
    let before = load_average();
    let mut command = Command::new(std::env::current_exe()?);
    let command = command
        .args(line.split_whitespace())
        .stderr(Stdio::inherit());
    let output = command.output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    eprintln!("{printed}");
    let date = said_by("date", &["-u", "+%Y-%m-%d %H:%M"]);
    let commit = said_by("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
    let mut text = format!(
        "## `bench {line}`\n\n{date}, commit {commit}, load average before {before}\n\n{}\n",
        printed.trim_end()
    );
    if !output.status.success() {
        text += &format!("\nThis has failed: {}.\n", output.status);
    }
    Ok(text)
}

/// What the figures depend on.
fn machine() -> String {
    let mut text = String::from("Written by `benches/run report > benches/RESULTS.md`.\n\n");
    let facts = [
        ("processor", processor()),
        ("kernel", said_by("uname", &["-sr"])),
        ("compiler", said_by("rustc", &["--version"])),
    ];
    for (what, fact) in facts {
        text += &format!("- {what}: {fact}\n");
    }
    for peer in &PEERS {
        if let Some(version) = peer.version() {
            text += &format!("- {}: {version}\n", peer.name);
        }
    }
    text
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut names = text.lines().filter(|line| line.starts_with("model name"));
    let name = names.next().and_then(|line| line.split(": ").nth(1));
    let cores = names.count() + 1;
    format!("{}, {cores} cores", name.unwrap_or("unknown"))
}

/// How many programs wanted the cores in the last minutes: they disturb what is measured.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    text.unwrap_or_else(|_| "unknown".to_string())
}

/// What is measured, and what it is called in `--sections` and in the goals.
pub const SECTIONS: [(&str, &str); 17] = [
    ("http", "http --peers raw,tokio,hyper"),
    (
        "installed",
        "http --peers nginx,tornado,node --connections 1,64,1024,64x16",
    ),
    (
        "browser",
        "http --head browser --peers raw,hyper --connections 64,64x16",
    ),
    ("echo", "echo"),
    ("frames", "frames"),
    ("accept", "accept --peers hyper,nginx"),
    ("bulk", "bulk"),
    ("syscalls", "syscalls --peers raw,tokio,hyper"),
    ("instructions", "instructions"),
    ("instructions-browser", "instructions --head browser"),
    ("idle", "idle --peers hyper,nginx"),
    ("timers", "timers"),
    ("tasks", "tasks"),
    ("wake", "wake"),
    ("parse", "parse --rounds 100"),
    ("rate", "rate"),
    ("size", "size"),
];
