//! This host's clock, read here and nowhere else.
//!
//! Whose clock it is depends on what this process is in the party: the server's on an origin, a client's on an edge.
//!
//! `CLOCK_MONOTONIC_RAW` where the system has it: nothing sets or slews it, so its rate is that of the
//! crystal, which is what listeners estimate. A clock that is being slewed looks to them like drift.

use protocol::time::Timestamp;

/// The time now. Never goes back; its origin is arbitrary.
#[cfg(unix)]
pub(crate) fn now<C>() -> Timestamp<C> {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::MonotonicRaw;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let read = clock_gettime(CLOCK);
    Timestamp::from_micros(read.tv_sec * 1_000_000 + read.tv_nsec / 1_000)
}

/// The time now. Never goes back; its origin is the first reading.
#[cfg(not(unix))]
pub(crate) fn now<C>() -> Timestamp<C> {
    use std::sync::LazyLock;
    use std::time::Instant;

    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = ORIGIN.elapsed().as_micros();
    Timestamp::from_micros(i64::try_from(since).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::now;
    use protocol::time::ServerTime;

    #[test]
    fn never_goes_back() {
        let mut last: ServerTime = now();
        for _ in 0..10_000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
    }
}
