//! The only clock of the shell: `performance.now()` as [`ClientTime`].
//!
//! Monotonic, and not moved when the wall clock is set. Browsers coarsen it on purpose: Chromium to 100 µs
//! (5 µs on isolated pages), Firefox and Safari to about 1 ms.

use protocol::time::ClientTime;
use web_sys::Performance;

use super::window;

thread_local! {
    // Looked up once: between an event and its time stamp lies a single call.
    static PERFORMANCE: Performance = window()
        .performance()
        .expect("every browser that runs WebAssembly has performance.now()");
}

/// This moment.
#[must_use]
pub fn now() -> ClientTime {
    from_millis(PERFORMANCE.with(Performance::now))
}

/// A moment that the browser told in milliseconds of the same clock, rounded to the nearest microsecond.
///
/// Saturates; not a number is the clock's origin.
#[must_use]
pub fn from_millis(millis: f64) -> ClientTime {
    ClientTime::from_micros((millis * 1_000.0).round() as i64)
}
