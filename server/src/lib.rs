//! Decodes once, stamps, fans out: one binary that turns audio into a party.
//!
//! | module | does | touches |
//! |---|---|---|
//! | [`config`] | the command line as plain values | |
//! | [`server`] | starts and stops everything below | sockets, threads |
//! | `app` | which path leads where | |
//! | `http` | WebSocket, status, the embedded page | sockets, clock |
//! | `session` | one connection's side of the protocol | pure |
//! | `group` | what the party plays | pure |
//! | `fanout` | chunks for everyone, a queue for each listener | pure, but for a lock in `hub` and `count` |
//! | `pipeline` | samples to chunks to stamps to bytes | pure, but for the thread in `pump` |
//! | [`source`] | files, the built-in demo and metronome | files |
//! | `bucket` | how much may be done at once | pure |
//! | `metrics` | what is counted, for those who run it | pure |
//! | `host_clock` | the server's clock | clock |
//! | [`sans_io`] | the party without threads, sockets and clock, for the simulated world | pure |
//!
//! Tests of other packages use [`config`] and [`server`], and speak to the sockets.

mod app;
mod bucket;
pub mod config;
mod fanout;
mod group;
mod host_clock;
mod http;
mod metrics;
mod pipeline;
pub mod sans_io;
pub mod server;
mod session;
pub mod source;
