//! The goals: what is to be reached, and the cells of the report that show it.

use crate::goals::{Cell, Goal, Of, at_least, at_most};

const CLOSED: &[Cell] = &[
    ("http", "1", "hello", "ratio"),
    ("http", "4", "hello", "ratio"),
    ("http", "16", "hello", "ratio"),
    ("http", "64", "hello", "ratio"),
    ("http", "256", "hello", "ratio"),
    ("http", "1024", "hello", "ratio"),
];

pub const GOALS: &[Goal] = &[
    at_least(
        0.97,
        "hello to raw-http, 1 to 1,024 connections, geometric mean",
        Of::GeometricMean,
        CLOSED,
    ),
    at_least(0.92, "the same, the worst", Of::Least, CLOSED),
    at_least(
        0.90,
        "64 connections, 16 pipelined, to raw-http",
        Of::Least,
        &[("http", "64x16", "hello", "ratio")],
    ),
    at_least(
        0.75,
        "64 connections, 16 pipelined, to raw",
        Of::Quotient,
        &[
            ("http", "64x16", "hello", "ratio"),
            ("http", "64x16", "raw", "ratio"),
        ],
    ),
    at_least(
        0.97,
        "a browser's head, 64 connections, to raw-http",
        Of::Least,
        &[("browser", "64", "hello", "ratio")],
    ),
    at_least(
        0.90,
        "a browser's head, 16 pipelined, to raw-http",
        Of::Least,
        &[("browser", "64x16", "hello", "ratio")],
    ),
    at_least(
        0.97,
        "40,000 requests per second, to raw-http",
        Of::Least,
        &[("http", "64@40000", "hello", "ratio")],
    ),
    at_most(
        1.1,
        "p99 at that rate, to raw",
        Of::Quotient,
        &[
            ("http", "64@40000", "hello", "p99 us"),
            ("http", "64@40000", "raw", "p99 us"),
        ],
    ),
    at_most(
        1.5,
        "instructions per request, to raw-http, 64",
        Of::Most,
        &[("instructions", "64", "hello", "ratio")],
    ),
    at_most(
        1.3,
        "instructions per request, to raw-http, 16 pipelined",
        Of::Most,
        &[("instructions", "64x16", "hello", "ratio")],
    ),
    at_least(
        1.15,
        "to hyper, 64 connections",
        Of::Quotient,
        &[
            ("http", "64", "hello", "ratio"),
            ("http", "64", "hyper", "ratio"),
        ],
    ),
    at_least(
        1.5,
        "to hyper, 1,024 connections",
        Of::Quotient,
        &[
            ("http", "1024", "hello", "ratio"),
            ("http", "1024", "hyper", "ratio"),
        ],
    ),
    at_least(
        1.8,
        "to hyper, 16 pipelined",
        Of::Quotient,
        &[
            ("http", "64x16", "hello", "ratio"),
            ("http", "64x16", "hyper", "ratio"),
        ],
    ),
    at_least(
        0.95,
        "lines to raw, 1, 64, 1,024 connections, geometric mean",
        Of::GeometricMean,
        &[
            ("echo", "1", "echo", "ratio"),
            ("echo", "64", "echo", "ratio"),
            ("echo", "1024", "echo", "ratio"),
        ],
    ),
    at_most(
        1.3,
        "64 frames per segment, with the system, to a bare loop",
        Of::Most,
        &[("parse", "with system", "iostream", "ratio")],
    ),
    at_most(
        3.02,
        "system calls per request, 1 connection",
        Of::Most,
        &[("syscalls", "1", "hello", "calls per request")],
    ),
    at_most(
        2.1,
        "system calls per request, 64 connections",
        Of::Most,
        &[("syscalls", "64", "hello", "calls per request")],
    ),
    at_most(
        0.14,
        "system calls per request, 16 pipelined",
        Of::Most,
        &[("syscalls", "64x16", "hello", "calls per request")],
    ),
    at_least(
        0.97,
        "new connections, to raw-http",
        Of::Least,
        &[("accept", "64", "hello", "ratio")],
    ),
    at_most(
        400.0,
        "bytes per idle connection, the most",
        Of::Most,
        &[
            ("idle", "1000", "hello", "bytes per connection"),
            ("idle", "10000", "hello", "bytes per connection"),
            ("idle", "19000", "hello", "bytes per connection"),
        ],
    ),
    at_most(
        0.05,
        "CPU % of 19,000 idle connections",
        Of::Most,
        &[("idle", "19000", "hello", "CPU %")],
    ),
    at_least(
        0.95,
        "one full connection, the worse way, to raw",
        Of::Least,
        &[
            ("bulk", "sent", "iostream", "ratio"),
            ("bulk", "received", "iostream", "ratio"),
        ],
    ),
    at_most(
        40.0,
        "inserting a timer, ns",
        Of::Most,
        &[("timers", "insert", "structure", "ns")],
    ),
    at_most(
        40.0,
        "cancelling a timer, ns",
        Of::Most,
        &[("timers", "cancel", "structure", "ns")],
    ),
    at_most(
        600.0,
        "firing a timer, ns",
        Of::Most,
        &[("timers", "fire", "structure", "ns")],
    ),
    at_most(
        1.0,
        "spawn and run, to tokio's LocalRuntime",
        Of::Most,
        &[("tasks", "spawn, run", "ioloop", "ratio")],
    ),
    at_most(
        1.0,
        "spawn and run, to tokio's LocalSet",
        Of::Quotient,
        &[
            ("tasks", "spawn, run", "ioloop", "ratio"),
            ("tasks", "spawn, run", "LocalSet", "ratio"),
        ],
    ),
    at_most(
        1.0,
        "wake and poll, to tokio's LocalRuntime",
        Of::Most,
        &[("tasks", "wake, poll", "ioloop", "ratio")],
    ),
    at_most(
        1.0,
        "wake and poll, to tokio's LocalSet",
        Of::Quotient,
        &[
            ("tasks", "wake, poll", "ioloop", "ratio"),
            ("tasks", "wake, poll", "LocalSet", "ratio"),
        ],
    ),
    at_most(
        1.2,
        "waking another thread and back, to an eventfd",
        Of::Most,
        &[("wake", "round trip", "ioloop", "ratio")],
    ),
    at_most(
        480.0,
        "stripped hello, kB",
        Of::Most,
        &[("size", "release", "hello", "stripped kB")],
    ),
    at_most(
        26.0,
        "crates of others under the least server",
        Of::Most,
        &[("size", "release", "squall", "of others")],
    ),
];
