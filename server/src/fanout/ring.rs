//! The chunks between now and the lead: a bounded queue that many read, each from its own position.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::time::ServerTime;

use super::chunk::Chunk;
use crate::pipeline::encoder::WireFormat;
use crate::pipeline::{CHUNK_FRAMES, REACH_MAX};
use crate::source::RATE_HZ;

/// Most chunks held: those that are made ahead, and as many again for a pump that runs ahead of a clock that was
/// held up. When full, the oldest goes; it is the next to be useless.
const CHUNKS_MAX: usize =
    2 * (REACH_MAX.as_micros() as usize / 1_000) * (RATE_HZ as usize / 1_000) / CHUNK_FRAMES;

/// Position of a chunk, counted from the first that was ever pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor(u64);

impl Cursor {
    /// The position after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The `number`th position from the first, which is 0.
    pub(crate) fn at(number: u64) -> Self {
        Self(number)
    }

    /// Which one it is, from 0.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// How many positions lie between `earlier` and this one.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Chunks in the order in which they are heard.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    chunks: VecDeque<Arc<Chunk>>,
    dropped: u64,
    cleared: u64,
}

impl Ring {
    /// Appends `chunk`, which is heard after all others, and forgets those that have been heard.
    pub(crate) fn push(&mut self, chunk: Arc<Chunk>, now: ServerTime) {
        while self.chunks.front().is_some_and(|oldest| oldest.end() <= now)
            || self.chunks.len() >= CHUNKS_MAX
        {
            self.chunks.pop_front();
            self.dropped += 1;
        }
        self.chunks.push_back(chunk);
    }

    /// Position of the oldest chunk that is still held.
    pub(crate) fn oldest(&self) -> Cursor {
        Cursor(self.dropped)
    }

    /// Position of the next chunk to come.
    pub(crate) fn newest(&self) -> Cursor {
        Cursor(self.dropped + self.chunks.len() as u64)
    }

    /// Forgets all chunks. Their positions are not used again.
    pub(crate) fn clear(&mut self) {
        self.dropped += self.chunks.len() as u64;
        self.chunks.clear();
        self.cleared += 1;
    }

    /// How often that has happened. What a listener was sent before is void.
    pub(crate) fn cleared(&self) -> u64 {
        self.cleared
    }

    /// When the last chunk has been heard; `None` when there is none.
    pub(crate) fn end(&self) -> Option<ServerTime> {
        self.chunks.back().map(|chunk| chunk.end())
    }

    /// The chunk at `cursor`: `None` when it is yet to come, or gone.
    pub(crate) fn get(&self, cursor: Cursor) -> Option<&Arc<Chunk>> {
        let at = cursor.0.checked_sub(self.dropped)?;
        self.chunks.get(usize::try_from(at).ok()?)
    }

    /// Position of the first chunk whose time is `time` or later; that of the next chunk to come when
    /// there is none.
    pub(crate) fn first_from(&self, time: ServerTime) -> Cursor {
        let at = self.chunks.partition_point(|chunk| chunk.play_at() < time);
        Cursor(self.dropped + at as u64)
    }
}

/// A ring for each format.
///
/// An origin puts each chunk into all of them, as it can make any format of it. An edge has a chunk's bytes in the
/// formats that it asked for, and each comes in its own time.
#[derive(Debug, Default)]
pub(crate) struct Rings([Ring; WireFormat::ALL.len()]);

impl Rings {
    /// The chunks in `format`.
    pub(crate) fn of(&self, format: WireFormat) -> &Ring {
        &self.0[format as usize]
    }

    /// The chunks in `format`, to add to.
    pub(crate) fn of_mut(&mut self, format: WireFormat) -> &mut Ring {
        &mut self.0[format as usize]
    }

    /// All of them.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Ring> {
        self.0.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::{at, chunk, fill};

    #[test]
    fn what_has_been_heard_is_forgotten() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(200), at(0));
        let last = ring.first_from(at(150));
        assert_eq!(ring.get(last).map(|chunk| chunk.play_at()), Some(at(150)));
        // At 100 the first two chunks have ended.
        ring.push(chunk(at(200), 0), at(100));
        assert_eq!(ring.oldest().since(Cursor(0)), 2);
        assert!(ring.get(Cursor(1)).is_none());
        assert_eq!(ring.get(last).map(|chunk| chunk.play_at()), Some(at(150)));
    }

    #[test]
    fn a_clock_that_stands_still_does_not_make_it_grow() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(60_000), at(0));
        assert_eq!(ring.chunks.len(), CHUNKS_MAX);
        assert_eq!(CHUNKS_MAX, 200);
        assert_eq!(ring.first_from(at(60_000)), Cursor(1_200));
        assert!(ring.get(Cursor(1_200)).is_none());
    }

    #[test]
    fn the_first_from_a_time_starts_there_or_later() {
        let mut ring = Ring::default();
        fill(&mut ring, at(0), at(200), at(0));
        assert_eq!(ring.first_from(at(-5)), Cursor(0));
        assert_eq!(ring.first_from(at(50)), Cursor(1));
        assert_eq!(ring.first_from(at(51)), Cursor(2));
        assert_eq!(ring.first_from(at(151)), Cursor(4));
    }
}
