//! What the tests share: the simulated world, and the means to drive the real server and a real browser.

pub mod browser;
pub mod client;
pub mod http;
#[cfg(target_os = "linux")]
pub mod load;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod signal;
pub mod sim;
#[cfg(target_os = "linux")]
pub mod sites;
pub mod web;
