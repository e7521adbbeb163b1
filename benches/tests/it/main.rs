//! The hand-written servers and the program that measures, each from the outside.

mod bench;
mod load;
mod raw_echo;
mod raw_frames;
mod raw_http;
mod server;
