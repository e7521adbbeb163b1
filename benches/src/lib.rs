//! What the measurements are made of: clients that check each answer, alone or many in a closed
//! or open loop, and the parts of the hand-written servers.

pub mod address;
pub mod bulk;
pub mod client;
pub mod date;
pub mod dialogue;
pub mod hello;
pub mod histogram;
pub mod http;
pub mod load;
pub mod newcomers;
pub mod rate;
pub mod raw;
pub mod schedule;
pub mod statistics;
pub mod table;
