//! The hand-written server of frames must not be fast because it does less than the others.

use std::io::{Read, Write};

use crate::server::{Server, receive, send_until_blocked};

#[test]
fn frame_that_arrives_in_pieces_is_not_answered_before_it_is_complete() {
    let server = Server::start(RAW_FRAMES);
    let mut stream = server.connect();
    stream.write_all(b"0000000003one00000").unwrap();
    assert_eq!(receive(&mut stream, 13), b"0000000003one");
    stream.write_all(b"00003t").unwrap();
    stream.write_all(b"wo0000000001x").unwrap();
    assert_eq!(receive(&mut stream, 24), b"0000000003two0000000001x");
}

#[test]
fn client_that_reads_late_loses_nothing() {
    let server = Server::start(RAW_FRAMES);
    let mut stream = server.connect();
    let frames: Vec<u8> = (0..LATE_FRAMES)
        .flat_map(|n| format!("0000000090{n:0>90}").into_bytes())
        .collect();
    let sent = send_until_blocked(&mut stream, &frames);
    let complete = sent - sent % 100;
    assert!(receive(&mut stream, complete) == frames[..complete]);
}

#[test]
fn what_is_not_a_frame_ends_the_connection() {
    let server = Server::start(RAW_FRAMES);
    for header in ["+5", " 000000005", "0000000000", "0000004087", "9999999999"] {
        let mut stream = server.connect();
        stream.write_all(b"0000000002ok").unwrap();
        assert_eq!(receive(&mut stream, 12), b"0000000002ok");
        stream.write_all(header.as_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "{header}");
    }
    let longest = [&b"0000004086"[..], &[b'x'; 4086]].concat();
    let mut stream = server.connect();
    stream.write_all(&longest).unwrap();
    assert_eq!(receive(&mut stream, 4096), longest);
}

/// Twenty megabytes: more than any socket buffers.
const LATE_FRAMES: usize = 200_000;

const RAW_FRAMES: &str = env!("CARGO_BIN_EXE_raw_frames");
