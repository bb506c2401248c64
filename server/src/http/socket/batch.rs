//! What goes out next on a connection, until the system has all of it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use protocol::time::ServerTime;

use super::wire::Wire;

/// Pieces that are handed over in one call.
const PIECES: usize = 16;

/// Frames on their way to the system, in order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// A part of the first frame is gone: nothing can be put in front of the rest.
    has_begun: bool,
    counts: Counts,
}

/// What of a batch is told to those who run the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) chunks: u64,
    pub(super) chunk_bytes: u64,
    /// The moment for which the first of these chunks was planned, if it was.
    pub(super) planned: Option<ServerTime>,
}

impl Batch {
    /// From this many bytes on nothing is added: a round's chunks of 16-bit sound are a batch.
    const ENOUGH_BYTES: usize = 80 << 10;

    /// Whether it is to be written before anything is added. For a slow peer one frame is enough: the rest may be too late
    /// by the time there is room.
    pub(super) fn is_full(&self, is_slow: bool) -> bool {
        self.bytes >= if is_slow { 1 } else { Self::ENOUGH_BYTES }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Puts a frame in front of all others, of which none may have been begun.
    pub(super) fn push_first(&mut self, frame: Bytes) {
        debug_assert!(!self.has_begun, "in the middle of a frame");
        self.bytes += frame.len();
        self.frames.push_front(frame);
    }

    /// Adds a chunk's frame, and the moment for which it was planned.
    pub(super) fn push_chunk(&mut self, frame: Bytes, planned: Option<ServerTime>) {
        self.counts.chunks += 1;
        self.counts.chunk_bytes += frame.len() as u64;
        self.counts.planned = self.counts.planned.or(planned);
        self.push(frame);
    }

    /// What was added since this was last asked.
    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Hands over what the system takes at once. Returns whether that was all.
    ///
    /// # Errors
    ///
    /// The system's: the connection is gone.
    pub(super) fn write_to(&mut self, wire: &Wire) -> io::Result<bool> {
        self.write_while(wire, PIECES, |batch| !batch.is_empty())
    }

    /// Hands over what the system takes of a frame that was begun. Returns whether that was all of it.
    ///
    /// # Errors
    ///
    /// The system's: the connection is gone.
    pub(super) fn finish_begun(&mut self, wire: &Wire) -> io::Result<bool> {
        self.write_while(wire, 1, |batch| batch.has_begun)
    }

    /// Hands over up to so many frames at once, as long as that is wanted and the system takes them.
    fn write_while(
        &mut self,
        wire: &Wire,
        pieces: usize,
        wanted: impl Fn(&Self) -> bool,
    ) -> io::Result<bool> {
        while wanted(self) {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.frames.len().min(pieces);
            for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                *slice = IoSlice::new(frame);
            }
            match wire.try_write_vectored(&slices[..count]) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        wire.try_flush()
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(frame) = self.frames.front_mut() {
            if written < frame.len() {
                frame.advance(written);
                self.has_begun |= written > 0;
                return;
            }
            written -= frame.len();
            self.frames.pop_front();
            self.has_begun = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_write_goes_on_where_it_stopped() {
        let mut batch = Batch::default();
        batch.push(Bytes::from_static(b"abc"));
        batch.push_chunk(Bytes::from_static(b"defg"), None);
        batch.push(Bytes::from_static(b"h"));
        batch.advance(5);
        assert!(batch.has_begun);
        assert_eq!(batch.frames, [&b"fg"[..], b"h"]);
        let Counts { chunks, chunk_bytes, .. } = batch.take_counts();
        assert_eq!((batch.bytes(), chunks, chunk_bytes), (3, 1, 4));
        batch.advance(2);
        assert!(!batch.has_begun);
        batch.push_first(Bytes::from_static(b"now"));
        assert_eq!(batch.frames, [&b"now"[..], b"h"]);
        batch.advance(4);
        assert!(batch.is_empty() && batch.bytes() == 0);
    }
}
