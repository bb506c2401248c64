//! Two ways to get blocks to the audio output, one contract.
//!
//! A frame is heard on the context frame it is addressed to or not at all. A later block replaces an earlier
//! one where they overlap. Frames that are past, or [`AHEAD_S_MAX`] ahead, are not heard. What is not
//! addressed is silence.

pub mod buffer_source;
pub mod worklet;

use crate::scheduler::Block;

/// Frames this many seconds ahead or more are not taken: 4 s for a page that is hidden and wakes up late,
/// and half as much to spare. The worklet holds this much, 2.3 MB at 48 kHz.
pub const AHEAD_S_MAX: f64 = 6.0;
/// What sounds when everything is forgotten fades for this long, seconds: shorter clicks.
pub const FADE_S: f64 = 0.005;

/// Takes blocks for an audio output.
pub trait Sink {
    /// Plays `block` on its frames.
    fn play(&self, block: Block);

    /// Forgets all that is not yet heard. What sounds at this moment fades over [`FADE_S`].
    fn clear(&self);
}

/// `seconds` in frames, at least one.
fn frames(seconds: f64, rate_hz: f32) -> i64 {
    ((seconds * f64::from(rate_hz)) as i64).max(1)
}
