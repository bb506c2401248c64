//! Streams.

mod flow;
mod follow;
mod held;
mod varispeed;
