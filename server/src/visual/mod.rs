//! Figures of the sound, for those who show it: how loud, which frequencies, when something sets in, the beats.
//!
//! Computed once for everybody, from the chunks that all listeners share, and only while somebody wants it. Each figure has
//! the time at which the sound that it describes is heard.
//!
//! Pure, but for the thread in `observatory`.

pub(crate) mod analyser;
mod beats;
pub(crate) mod lane;
pub(crate) mod observatory;
mod onsets;
pub(crate) mod reel;
pub(crate) mod spectrum;

use crate::source::RATE_HZ;

/// Frames between two looks at the spectrum: 50 in a second, as often as a screen can make use of it.
pub(crate) const HOP: usize = RATE_HZ as usize / 50;

/// How often there are figures at most, in a second.
pub(crate) const RATE_MAX: u32 = RATE_HZ / HOP as u32;
