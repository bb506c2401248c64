//! From samples to chunks: cut, stamp, encode.
//!
//! `pump` is the thread that runs the others; those are pure. `line` puts them in order.

pub(crate) mod chunker;
pub(crate) mod encoder;
pub(crate) mod line;
pub(crate) mod pump;
pub(crate) mod timeline;

use protocol::time::ServerSpan;

use crate::source::RATE_HZ;

/// Frames in a chunk: 100 ms at 48 kHz.
///
/// The wire allows 15 to 150 ms. Shorter chunks cost a wake-up, a write and a header each for every listener; longer
/// ones make a joining listener wait up to a chunk longer for its first sound, and make one loss longer.
pub(crate) const CHUNK_FRAMES: usize = 4_800;

/// Length of a whole chunk.
pub(crate) const CHUNK_SPAN: ServerSpan =
    ServerSpan::from_micros(1_000_000 * CHUNK_FRAMES as i64 / RATE_HZ as i64);

/// How often a listener who has the whole lead is sent more: several chunks at once.
///
/// To call a listener and the system costs about as much as a chunk's bytes do. Longer rounds would take more from the
/// lead and put more bytes in front of a time reply that comes at the same moment.
pub(crate) const ROUND_SPAN: ServerSpan = ServerSpan::from_micros(5 * CHUNK_SPAN.as_micros());

/// How far ahead of the clock audio is sent at most, and made if all listeners are here.
///
/// It is what a listener can live through without the network. More would cost memory per listener and
/// delay every change by as much.
pub(crate) const LEAD_MAX: ServerSpan = ServerSpan::from_secs(5);

/// How far ahead of the clock audio is made when edges follow.
///
/// An edge lives on what it has while the network between sites is away, and its listeners want [`LEAD_MAX`] all the
/// time. Twice as much covers five seconds without a network, and the time it takes to notice and to come back.
pub(crate) const REACH_MAX: ServerSpan = ServerSpan::from_secs(10);
