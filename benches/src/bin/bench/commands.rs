//! What can be measured: each command with what it takes and measures when nothing else is said.

use crate::arguments::Arguments;
use crate::kind::Kind;
use crate::subject::Subject;
use crate::{
    Outcome, drain, flood, idle, instructions, kill, layers, rate, rate_aria2, report, size,
    syscalls, throughput,
};

pub struct Command {
    pub name: &'static str,
    pub purpose: &'static str,
    pub run: fn(&Arguments) -> Outcome<()>,
    /// Unless `--protocol` says otherwise.
    pub kind: Kind,
    /// Unless `--connections` says otherwise.
    pub shapes: &'static str,
    /// Whether connections may have a depth and a rate.
    pub is_loading: bool,
    /// Unless `--subject` does.
    pub subjects: fn(Kind) -> Outcome<Vec<Subject>>,
    pub flags: &'static str,
}

impl Command {
    pub fn named(name: &str) -> Outcome<&'static Command> {
        let command = COMMANDS.iter().find(|command| command.name == name);
        command.ok_or(format!("there is no command {name}; see --help").into())
    }

    pub fn takes(&self, flag: &str) -> bool {
        self.flags.split_whitespace().any(|taken| taken == flag)
    }
}

fn toolkit(kind: Kind) -> Outcome<Vec<Subject>> {
    Ok(vec![kind.toolkit()?])
}

fn reference(kind: Kind) -> Outcome<Vec<Subject>> {
    Ok(vec![kind.reference("reference")?])
}

fn nobody(_kind: Kind) -> Outcome<Vec<Subject>> {
    Ok(Vec::new())
}

fn limiters(_kind: Kind) -> Outcome<Vec<Subject>> {
    let limiters = [
        ("by-hand", BY_HAND),
        ("squall", "rate_squall"),
        ("governor", "rate_governor"),
        ("async-speed-limit", "rate_async_speed_limit"),
    ];
    let limiters = limiters.iter();
    let mut limiters: Vec<Subject> = limiters
        .map(|(name, program)| Subject::built(program, name))
        .collect::<Outcome<_>>()?;
    limiters.push(Subject::parse(rate_aria2::PROGRAM)?);
    Ok(limiters)
}

fn two_processes(_kind: Kind) -> Outcome<Vec<Subject>> {
    let framed = Subject::built("framed", "framed")?.with_argument("serve");
    Ok(vec![framed.with_argument("--processes").with_argument("2")])
}

/// What sends at a limited rate without a limiter.
pub const BY_HAND: &str = "raw_rate";

/// What measures a single layer, without servers or load.
const fn layer(name: &'static str, purpose: &'static str) -> Command {
    Command {
        name,
        purpose,
        run: layers::run,
        kind: Kind::Echo,
        shapes: "1",
        is_loading: false,
        subjects: nobody,
        flags: "--rounds",
    }
}

pub const COMMANDS: [Command; 18] = [
    Command {
        name: "http",
        purpose: "requests per CPU-second, as a ratio to raw_http and to a null test",
        run: throughput::run,
        kind: Kind::Http,
        shapes: "1,4,16,64,256,1024,64x16,64@40000",
        is_loading: true,
        subjects: toolkit,
        flags: "--subject --peers --connections --rounds --slice --head",
    },
    Command {
        name: "echo",
        purpose: "the same for lines that come back, and raw_echo",
        run: throughput::run,
        kind: Kind::Echo,
        shapes: "1,64,1024",
        is_loading: true,
        subjects: toolkit,
        flags: "--subject --peers --connections --rounds --slice --length",
    },
    Command {
        name: "frames",
        purpose: "the same for frames, a length and so many bytes, and raw_frames",
        run: throughput::run,
        kind: Kind::Frames,
        shapes: "1,64,1024",
        is_loading: true,
        subjects: toolkit,
        flags: "--subject --connections --rounds --slice --length",
    },
    Command {
        name: "accept",
        purpose: "the same for HTTP, with a new connection for each request",
        run: throughput::run_accept,
        kind: Kind::HttpOnce,
        shapes: "64",
        is_loading: false,
        subjects: toolkit,
        flags: "--subject --peers --connections --rounds --slice",
    },
    Command {
        name: "bulk",
        purpose: "the same for pieces of 64 KiB over one full connection, 4 GiB each way",
        run: throughput::run_bulk,
        kind: Kind::Bulk,
        shapes: "1",
        is_loading: false,
        subjects: toolkit,
        flags: "--subject --peers --rounds",
    },
    Command {
        name: "instructions",
        purpose: "user-space instructions for each request, counted by callgrind",
        run: instructions::run,
        kind: Kind::Http,
        shapes: "1,64,64x16",
        is_loading: true,
        subjects: toolkit,
        flags: "--subject --peers --protocol --connections --head --length --requests --at-most",
    },
    Command {
        name: "syscalls",
        purpose: "system calls for each request, counted by strace",
        run: syscalls::run,
        kind: Kind::Http,
        shapes: "1,64,64x16",
        is_loading: true,
        subjects: toolkit,
        flags: "--subject --peers --protocol --connections --head --length --requests",
    },
    Command {
        name: "idle",
        purpose: "memory and CPU time of idle connections",
        run: idle::run,
        kind: Kind::Http,
        shapes: "1000,10000,19000",
        is_loading: false,
        subjects: toolkit,
        flags: "--subject --peers --protocol --connections --head --exchanges",
    },
    Command {
        name: "flood",
        purpose: "more clients than the server has descriptors",
        run: flood::run,
        kind: Kind::Echo,
        shapes: "200",
        is_loading: false,
        subjects: reference,
        flags: "--subject --protocol",
    },
    Command {
        name: "drain",
        purpose: "how long the server takes to end after SIGINT",
        run: drain::run,
        kind: Kind::Echo,
        shapes: "1000",
        is_loading: false,
        subjects: reference,
        flags: "--subject --protocol --connections",
    },
    Command {
        name: "kill",
        purpose: "what is lost when a worker is killed, and when another is there",
        run: kill::run,
        kind: Kind::Frames,
        shapes: "64",
        is_loading: false,
        subjects: two_processes,
        flags: "--subject --protocol --connections",
    },
    Command {
        name: "rate",
        purpose: "how exact, fair and cheap rate limiters are",
        run: rate::run,
        kind: Kind::Echo,
        // Its scenarios say how many.
        shapes: "1",
        is_loading: false,
        subjects: limiters,
        flags: "--subject --parts --seconds --rounds",
    },
    layer(
        "timers",
        "nanoseconds to insert, cancel and fire one, a million pending, beside tokio",
    ),
    layer(
        "tasks",
        "nanoseconds to spawn and run, to wake and poll one, beside tokio",
    ),
    layer(
        "wake",
        "nanoseconds to wake another thread and be woken, beside an eventfd",
    ),
    layer(
        "parse",
        "nanoseconds for each of 64 small frames that arrive at once, beside bare loops",
    ),
    Command {
        name: "size",
        purpose: "the stripped hello, its crates, memory at start and time to build, beside hyper",
        run: size::run,
        kind: Kind::Http,
        shapes: "1",
        is_loading: false,
        subjects: nobody,
        flags: "",
    },
    Command {
        name: "report",
        purpose: "all of it, as benches/RESULTS.md, with the goals; takes half an hour",
        run: report::run,
        kind: Kind::Http,
        shapes: "1",
        is_loading: false,
        subjects: nobody,
        flags: "--sections",
    },
];
