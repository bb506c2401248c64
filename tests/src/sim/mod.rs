//! A simulated world in virtual time: clocks that drift, links that delay, speakers that record.
//!
//! It drives the real player and the real server core; only clocks, wires and audio devices are made up.
//! One seed, one world: a failure replays.

mod clock;
mod edge;
mod link;
mod origin;
mod rng;
mod room;
mod seat;
mod server;
mod speaker;
mod world;

pub use clock::SimClock;
pub use link::{Link, LinkProfile};
pub use rng::Rng;
pub use speaker::{Heard, Reports};
pub use world::{Fault, Report, World, WorldConfig};
