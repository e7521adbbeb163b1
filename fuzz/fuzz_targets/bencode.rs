//! Bencode and torrent files: nothing panics, and what is accepted has no second encoding.
#![no_main]

use examples::bencode::{Value, parse};
use examples::bencode_write::{bytes, dictionary, integer, list};
use examples::metainfo::Metainfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(value) = parse(input) {
        let mut output = Vec::new();
        write(&mut output, &value);
        assert_eq!(output, input);
    }
    if let Ok(torrent) = Metainfo::parse(input) {
        let length: u64 = (0..torrent.pieces.len() as u32)
            .map(|piece| u64::from(torrent.piece_size(piece)))
            .sum();
        assert_eq!(length, torrent.length);
        for file in &torrent.files {
            assert!(file.path.is_relative());
            assert!(!file.path.components().any(|part| part.as_os_str() == ".."));
        }
    }
});

fn write(out: &mut Vec<u8>, value: &Value<'_>) {
    if let Some(text) = value.bytes() {
        bytes(out, text);
    } else if let Some(number) = value.integer::<i128>() {
        integer(out, number);
    } else if let Some(values) = value.list() {
        list(out, values, write);
    } else if let Some(entries) = value.dictionary() {
        dictionary(out, |dictionary| {
            for (key, value) in entries {
                dictionary.entry(key, |out| write(out, value));
            }
        });
    }
}
