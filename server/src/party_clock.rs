//! The party's clock, which all times that listeners see are on.
//!
//! On an origin it is this host's own. An edge is its origin's client: it estimates the origin's clock as a player does,
//! and answers its listeners in the origin's time. So the whole party has one clock, chunks need no new stamps, and a
//! listener may move from one edge to another.

use std::sync::{Arc, PoisonError, RwLock};

use protocol::time::{ClientClock, ClientSpan, ClientTime, ServerClock, ServerTime};
use protocol::time_filter::ClockMapping;

use crate::host_clock;

/// A new estimate that differs by less than this is approached; one that differs by more is of another clock. Estimates
/// over a network with milliseconds of jitter move by tenths of a millisecond, a clock that was set by seconds.
const STEP_US: f64 = 5_000.0;

/// Fastest approach, in microseconds for each microsecond: a player follows it as it follows drift.
const SLEW_MAX: f64 = 500e-6;

/// Shortest approach: a small difference is noise, and not worth any haste.
const SETTLE_MIN: ClientSpan = ClientSpan::from_secs(2);

/// How the party's clock runs, as seen from this host's: a mapping, and what is left of the difference to the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Course {
    mapping: ClockMapping<ClientClock, ServerClock>,
    from: ClientTime,
    residual_us: f64,
}

impl Course {
    /// A course that follows `mapping` exactly.
    pub(crate) fn new(mapping: ClockMapping<ClientClock, ServerClock>, now: ClientTime) -> Self {
        Self { mapping, from: now, residual_us: 0.0 }
    }

    /// The course that is where this one is at `now`, and soon where `mapping` is. `None` when they have nothing to do with
    /// each other.
    ///
    /// Listeners compare clocks to microseconds: a jump would contradict what they know, a slow approach looks like drift.
    pub(crate) fn toward(
        &self,
        mapping: ClockMapping<ClientClock, ServerClock>,
        now: ClientTime,
    ) -> Option<Self> {
        let now_us = now.as_micros() as f64;
        let residual_us = self.at_us(now_us) - mapping.to_remote_us(now_us);
        (residual_us.abs() < STEP_US).then_some(Self { mapping, from: now, residual_us })
    }

    /// The party's time at a time of this host.
    pub(crate) fn at(&self, host: ClientTime) -> ServerTime {
        ServerTime::from_micros(self.at_us(host.as_micros() as f64).round() as i64)
    }

    fn at_us(&self, host_us: f64) -> f64 {
        let settle_us = (SETTLE_MIN.as_micros() as f64).max(self.residual_us.abs() / SLEW_MAX);
        let passed = (host_us - self.from.as_micros() as f64) / settle_us;
        self.mapping.to_remote_us(host_us) + self.residual_us * (1.0 - passed).clamp(0.0, 1.0)
    }
}

/// A handle on the party's clock. Clones read the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartyClock {
    /// `None` on an origin. The course is `None` as long as nothing is known.
    followed: Option<Arc<RwLock<Option<Course>>>>,
}

impl PartyClock {
    /// The clock of a party whose origin this is.
    pub(crate) fn own() -> Self {
        Self::default()
    }

    /// The clock of a party whose origin is elsewhere, not known yet.
    pub(crate) fn followed() -> Self {
        Self { followed: Some(Arc::default()) }
    }

    /// From now on it runs like this.
    pub(crate) fn steer(&self, course: Course) {
        if let Some(followed) = &self.followed {
            *followed.write().unwrap_or_else(PoisonError::into_inner) = Some(course);
        }
    }

    /// Whether it can be told. Until then [`PartyClock::now`] is a time of this host, good for waiting only.
    pub(crate) fn is_known(&self) -> bool {
        self.followed.as_ref().is_none_or(|followed| read(followed).is_some())
    }

    /// The time now.
    pub(crate) fn now(&self) -> ServerTime {
        match self.followed.as_ref().and_then(|followed| read(followed)) {
            Some(course) => course.at(host_clock::now()),
            None => host_clock::now(),
        }
    }

    /// How far it is ahead of this host's clock, in microseconds. On one machine they are the same clock, and this is the
    /// error of the estimate.
    pub(crate) fn offset_us(&self) -> i64 {
        let Some(course) = self.followed.as_ref().and_then(|followed| read(followed)) else {
            return 0;
        };
        let host: ClientTime = host_clock::now();
        course.at(host).as_micros().saturating_sub(host.as_micros())
    }
}

fn read(followed: &RwLock<Option<Course>>) -> Option<Course> {
    *followed.read().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> ClientTime {
        ClientTime::from_micros(millis * 1_000)
    }

    fn ahead(offset_us: f64, drift: f64) -> ClockMapping<ClientClock, ServerClock> {
        ClockMapping::new(at(0), offset_us, drift)
    }

    #[test]
    fn a_better_estimate_is_approached_without_a_jump() {
        let first = Course::new(ahead(1_000_000.0, 20e-6), at(0));
        let second = first.toward(ahead(1_000_900.0, 25e-6), at(10_000)).expect("the same clock");
        let mut last = first.at(at(10_000));
        assert_eq!(second.at(at(10_000)), last);
        for millis in 10_001..13_000 {
            let now = second.at(at(millis));
            let speed = (now - last).as_micros() - 1_000;
            assert!((-1..=1).contains(&speed), "{speed} us more than 1 ms");
            last = now;
        }
        assert_eq!(second.at(at(12_000)).as_micros(), 12_000_000 + 1_000_900 + 300);
    }

    #[test]
    fn a_large_difference_takes_longer_and_never_runs_backwards() {
        let first = Course::new(ahead(4_900.0, 0.0), at(0));
        let second = first.toward(ahead(0.0, 0.0), at(0)).expect("the same clock");
        let mut last = second.at(at(0));
        for millis in 1..11_000 {
            let now = second.at(at(millis));
            assert!((now - last).as_micros() >= 999, "slower than {SLEW_MAX}");
            last = now;
        }
        assert_eq!(last, ServerTime::from_micros(10_999_000));
    }

    #[test]
    fn another_clock_is_told_from_a_better_estimate() {
        let first = Course::new(ahead(0.0, 0.0), at(0));
        assert!(first.toward(ahead(STEP_US, 0.0), at(0)).is_none());
        assert!(first.toward(ahead(-1e12, 0.0), at(0)).is_none());
    }

    #[test]
    fn an_origin_reads_its_own_clock() {
        let clock = PartyClock::own();
        assert!(clock.is_known());
        let before: ServerTime = host_clock::now();
        assert!(clock.now() >= before);
        assert_eq!(clock.offset_us(), 0);
    }
}
