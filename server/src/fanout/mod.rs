//! Brings each chunk to every listener.
//!
//! Listeners pull: the hub holds a ring of chunks for each format, and a listener has nothing but a position in
//! it. A slow listener therefore costs itself only, and publishing a chunk costs the same for one listener
//! as for a thousand.
//!
//! All of it is pure, but for the locks of `hub` and `count`, and the thread that `demand` wakes.

pub(crate) mod audio_lane;
pub(crate) mod chunk;
pub(crate) mod count;
pub(crate) mod demand;
pub(crate) mod frame;
pub(crate) mod hub;
pub(crate) mod outbox;
pub(crate) mod ring;
pub(crate) mod stage;
pub(crate) mod timer_queue;

#[cfg(test)]
pub(crate) mod fixture {
    //! Chunks and rings for tests.

    use std::sync::Arc;

    use protocol::audio::FrameIndex;
    use protocol::time::{ServerSpan, ServerTime};

    use super::chunk::Chunk;
    use super::ring::{Ring, Rings};
    use crate::pipeline::chunker::Cut;
    use crate::pipeline::timeline::Stamp;
    use crate::source::CHANNELS;

    /// Length of the chunks here: nothing in the fan-out goes by the one that the pipeline makes.
    pub(crate) const CHUNK: ServerSpan = ServerSpan::from_millis(50);
    const FRAMES: usize = 2_400;

    /// So many milliseconds.
    pub(crate) fn at(millis: i64) -> ServerTime {
        ServerTime::from_micros(millis * 1_000)
    }

    /// A whole chunk of near silence.
    pub(crate) fn chunk(play_at: ServerTime, epoch: u32) -> Arc<Chunk> {
        let cut = Cut {
            first: FrameIndex(0),
            samples: vec![0.25; FRAMES * CHANNELS].into(),
            resolution_bits: 16,
        };
        Arc::new(Chunk::new(cut, Stamp { play_at, end: play_at + CHUNK, epoch, is_late: false }))
    }

    /// Appends chunks to `ring`, one after the other from `from` up to and without `to`.
    pub(crate) fn fill(ring: &mut Ring, from: ServerTime, to: ServerTime, now: ServerTime) {
        let mut play_at = from;
        while play_at < to {
            ring.push(chunk(play_at, 0), now);
            play_at += CHUNK;
        }
    }

    /// The same for the rings of all formats.
    pub(crate) fn fill_all(rings: &mut Rings, from: ServerTime, to: ServerTime, now: ServerTime) {
        rings.all_mut().for_each(|ring| fill(ring, from, to, now));
    }
}
