//! What every stream does, whatever carries its bytes: one suite, run over each transport.

mod deadlines;
mod ends;
mod futures_io;
mod limits;
mod reads;
mod writes;
