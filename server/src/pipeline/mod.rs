//! From samples to chunks: cut, stamp, encode.
//!
//! `pump` is the thread that runs the others; those are pure. `line` puts them in order.

pub(crate) mod chunker;
pub(crate) mod encoder;
pub(crate) mod line;
pub(crate) mod pump;
pub(crate) mod timeline;

use protocol::time::ServerSpan;

/// Frames in a chunk: 50 ms at 48 kHz.
///
/// The wire allows 15 to 150 ms. Shorter chunks cost a wake-up and a header each for every listener; longer
/// ones make a joining listener wait up to a chunk longer for its first sound, and make one loss longer.
pub(crate) const CHUNK_FRAMES: usize = 2_400;

/// How far ahead of the clock audio is made and sent at most.
///
/// It is what a listener can live through without the network. More would cost memory per listener and
/// delay every change by as much.
pub(crate) const LEAD_MAX: ServerSpan = ServerSpan::from_secs(5);
