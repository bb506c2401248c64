//! What both ends of a connection agree on: clocks, the words on the wire and time arithmetic.
//!
//! Pure: nothing here reads a clock, a socket or a file. Time is passed in, bytes are passed in,
//! and state machines hand out what is to be done.
//!
//! | module | holds |
//! |---|---|
//! | [`time`] | points and spans of time, one type for each clock |
//! | [`audio`] | formats, frame indices, and the timeline that maps frames to server time |
//! | [`role`] | versioned role names |
//! | [`binary`] | binary messages: audio chunks, pictures, figures of the sound |
//! | [`message`] | JSON messages, both directions |
//! | [`envelope`] | offset and drift of the server's clock, from the fastest messages both ways |
//! | [`time_filter`] | offset and drift between two clocks, from readings with known error bounds |
//! | [`clock_sync`] | when to ask for the server's time and which answer to trust |

pub mod audio;
pub mod binary;
pub mod clock_sync;
pub mod envelope;
pub mod message;
pub mod role;
pub mod time;
pub mod time_filter;
