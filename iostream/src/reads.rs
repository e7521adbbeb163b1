//! The futures of reads.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::Error;
use crate::frame;
use crate::shared::Shared;

/// The future of every read. Written by hand, it is half the size of the `async` block: an idle
/// connection is mostly this.
pub(crate) struct ReadWith<'a, P> {
    shared: &'a Rc<Shared>,
    parser: P,
    examined: usize,
}

impl<'a, P> ReadWith<'a, P> {
    pub(crate) fn new(shared: &'a Rc<Shared>, parser: P) -> ReadWith<'a, P> {
        ReadWith {
            shared,
            parser,
            examined: usize::MAX,
        }
    }
}

/// The parser is called where it lies and never pinned.
impl<P> Unpin for ReadWith<'_, P> {}

impl<T, E, P> Future for ReadWith<'_, P>
where
    E: From<Error>,
    P: FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        let this = self.get_mut();
        this.shared
            .poll_message(context, &mut this.parser, &mut this.examined)
    }
}

/// The future of `read_until`, which most idle connections hold. What `ReadWith` and its parser
/// would both remember stands here once, and in four bytes: a delimiter is not looked for any
/// further than `max`.
pub(crate) struct ReadUntil<'a> {
    shared: &'a Rc<Shared>,
    delimiter: &'a [u8],
    max: u32,
    /// How many bytes were searched in vain; `u32::MAX` if none were looked at.
    examined: u32,
}

impl<'a> ReadUntil<'a> {
    pub(crate) fn new(shared: &'a Rc<Shared>, delimiter: &'a [u8], max: usize) -> ReadUntil<'a> {
        ReadUntil {
            shared,
            delimiter,
            max: u32::try_from(max).unwrap_or(u32::MAX),
            examined: u32::MAX,
        }
    }
}

impl Future for ReadUntil<'_> {
    type Output = Result<Vec<u8>, Error>;

    // Nothing here is generic, and every line that is read comes by twice.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut examined, searched) = match self.examined {
            u32::MAX => (usize::MAX, 0),
            examined => (examined as usize, examined as usize),
        };
        let mut parser = frame::until_after(searched, self.delimiter, self.max as usize);
        let polled = self
            .shared
            .poll_message(context, &mut parser, &mut examined);
        self.examined = u32::try_from(examined).unwrap_or(u32::MAX);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_read_that_waits_is_not_larger_than_it_was() {
        assert_eq!(size_of::<ReadUntil<'_>>(), 32);
    }
}
