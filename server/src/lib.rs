//! Decodes once, stamps, fans out: one binary that turns audio into a party.
//!
//! | module | does | touches |
//! |---|---|---|
//! | [`config`] | the command line as plain values | |
//! | [`server`] | starts and stops everything below | sockets, threads |
//! | `studio` | what makes the sound: a source here, or an origin elsewhere | threads |
//! | [`announce`] | tells the local network that there is a party | multicast, a thread |
//! | `app` | which path leads where | |
//! | `http` | WebSocket, status, the embedded page, encryption | sockets, clock, files of certificates |
//! | `session` | one connection's side of the protocol | pure |
//! | `group` | what the party plays, and who plays it how loud | pure |
//! | `control` | what people ask of it, on its way to the source | pure, but for a lock |
//! | [`rights`] | who may ask for what | randomness |
//! | `fanout` | chunks for everyone, a queue for each listener | pure, but for a lock in `hub` and `count` |
//! | `pipeline` | samples to chunks to stamps to bytes | pure, but for the thread in `pump` |
//! | [`cluster`] | the same beyond one process: what is asked for on the command line | names, files |
//! | [`workers`] | several processes behind one port | processes |
//! | `uplink` | origin and edges | sockets, threads |
//! | [`source`] | files, the built-in demo and metronome | files |
//! | `picture` | pictures of what is playing, and their colours | pure, but for the thread in `darkroom` |
//! | `visual` | figures of the sound, for those who show it | pure, but for the thread in `observatory` |
//! | `errand` | threads for work that nobody waits for | threads |
//! | `bucket` | how much may be done at once | pure |
//! | `metrics` | what is counted, for those who run it | pure |
//! | `host_clock` | this host's clock | clock |
//! | `party_clock` | the origin's clock, which is not always this host's | a lock |
//! | [`sans_io`] | the party without threads, sockets and clock, for the simulated world | pure |
//!
//! Tests of other packages use [`config`] and [`server`], and speak to the sockets.

#![cfg_attr(
    not(feature = "cluster"),
    allow(dead_code, reason = "some of what edges need is part of what all need")
)]

pub mod announce;
mod app;
mod bucket;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod config;
mod control;
mod errand;
mod fanout;
mod group;
mod host_clock;
mod http;
mod metrics;
mod party_clock;
mod picture;
mod pipeline;
pub mod rights;
pub mod sans_io;
pub mod server;
mod session;
pub mod source;
mod studio;
#[cfg(feature = "cluster")]
mod uplink;
mod visual;
#[cfg(feature = "cluster")]
pub mod workers;
