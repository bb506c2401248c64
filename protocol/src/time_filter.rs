//! Offset and drift between two clocks, from noisy readings.
//!
//! A Kalman filter with two states, offset and drift. Each reading comes with the largest error that it
//! can physically have; a reading that the model misses by more than a multiple of that proves the model
//! wrong (a clock stepped, a laptop slept), and the filter opens up again.
//!
//! Pure: numbers in, numbers out. What the specification has; [`clock_sync`](crate::clock_sync) does better
//! and is measured against it.
//!
//! Source: Sendspin wire reference, section 4.2, with the constants of the specification. The test
//! vectors in `testdata/time_filter.csv` were computed with the filter of aiosendspin 10.2.1.

use crate::time::{ClockDomain, Timestamp};

/// Drift diffusion: variance that the drift gains in each microsecond, (1e-11)² (section 4.2).
const DRIFT_VARIANCE_PER_MICRO: f64 = 1e-22;
/// A reading's standard deviation is this part of its largest error: readings at the limit are rare.
const MAX_ERROR_SCALE: f64 = 0.5;
/// A residual of more than this many largest errors proves the model wrong.
const FORGETTING_CUTOFF: f64 = 3.0;
/// What the covariance is multiplied by when the model is proved wrong: the forget factor 2.0, squared.
const FORGETTING_VARIANCE_FACTOR: f64 = 4.0;
/// Readings before the model may be proved wrong. Until then the gain is high anyway.
const READINGS_BEFORE_FORGETTING: u32 = 100;
/// The drift is used once it is this many times its standard deviation, squared: before, it is noise.
const DRIFT_SIGNIFICANCE_SQUARED: f64 = 4.0;
/// Smallest innovation variance, so that two perfect readings do not divide by zero.
const INNOVATION_VARIANCE_MIN: f64 = 1e-9;

/// One comparison of the remote clock with the local one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<L: ClockDomain> {
    /// Remote minus local clock, microseconds.
    pub offset_us: f64,
    /// Largest error that `offset_us` can have, microseconds; half a round trip, for example.
    pub max_error_us: f64,
    /// When the comparison was made.
    pub at: Timestamp<L>,
}

/// Translates times between a local clock `L` and a remote clock `R`.
///
/// A snapshot: it goes on at its rate for ever and does not learn. The only place where a time of one
/// clock becomes a time of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockMapping<L: ClockDomain, R: ClockDomain> {
    at: Timestamp<L>,
    offset_us: f64,
    drift: f64,
    remote: std::marker::PhantomData<fn() -> R>,
}

impl<L: ClockDomain, R: ClockDomain> ClockMapping<L, R> {
    /// The mapping that is off by `offset_us` (remote minus local) at `at`, while the remote clock gains
    /// `drift` microseconds in each local microsecond.
    #[must_use]
    pub const fn new(at: Timestamp<L>, offset_us: f64, drift: f64) -> Self {
        Self { at, offset_us, drift, remote: std::marker::PhantomData }
    }

    /// Remote time at a local time, to the microsecond.
    #[must_use]
    pub fn to_remote(&self, local: Timestamp<L>) -> Timestamp<R> {
        let offset = self.offset_us + self.drift * micros_between(self.at, local);
        Timestamp::from_micros(local.as_micros().saturating_add(round(offset)))
    }

    /// Local time at a remote time, to the microsecond.
    #[must_use]
    pub fn to_local(&self, remote: Timestamp<R>) -> Timestamp<L> {
        Timestamp::from_micros(round(self.to_local_us(remote.as_micros() as f64)))
    }

    /// Remote time in fractional microseconds at a local time in fractional microseconds.
    ///
    /// Audio is scheduled with this: at 48 kHz a microsecond is a twentieth of a frame, and rounding to it
    /// would be heard as noise of the resampling position.
    #[must_use]
    pub fn to_remote_us(&self, local_us: f64) -> f64 {
        local_us + self.offset_us + self.drift * (local_us - self.at.as_micros() as f64)
    }

    /// Local time in fractional microseconds at a remote time in fractional microseconds.
    #[must_use]
    pub fn to_local_us(&self, remote_us: f64) -> f64 {
        (remote_us - self.offset_us + self.drift * self.at.as_micros() as f64) / (1.0 + self.drift)
    }

    /// Remote microseconds gained in each local microsecond.
    #[must_use]
    pub const fn drift(&self) -> f64 {
        self.drift
    }
}

/// Estimates a remote clock `R` as seen from a local clock `L`.
#[derive(Clone, Debug)]
pub struct TimeFilter<L: ClockDomain, R: ClockDomain> {
    last: Timestamp<L>,
    readings: u32,
    offset: f64,
    drift: f64,
    offset_variance: f64,
    covariance: f64,
    drift_variance: f64,
    drift_is_significant: bool,
    remote: std::marker::PhantomData<fn() -> R>,
}

impl<L: ClockDomain, R: ClockDomain> Default for TimeFilter<L, R> {
    fn default() -> Self {
        Self {
            last: Timestamp::from_micros(i64::MIN),
            readings: 0,
            offset: 0.0,
            drift: 0.0,
            offset_variance: f64::INFINITY,
            covariance: 0.0,
            drift_variance: 0.0,
            drift_is_significant: false,
            remote: std::marker::PhantomData,
        }
    }
}

impl<L: ClockDomain, R: ClockDomain> TimeFilter<L, R> {
    /// Takes a reading. Returns whether it was used: one that is not newer than the last, has a negative
    /// largest error or is not finite is dropped, and the state stays as it was.
    pub fn update(&mut self, reading: Reading<L>) -> bool {
        let Reading { offset_us: measured, max_error_us: max_error, at } = reading;
        if !(measured.is_finite() && max_error.is_finite() && max_error >= 0.0) || at <= self.last {
            return false;
        }
        let elapsed = micros_between(self.last, at);
        let variance = (max_error * MAX_ERROR_SCALE).powi(2);
        self.last = at;
        match self.readings {
            0 => {
                self.offset = measured;
                self.offset_variance = variance;
                self.readings = 1;
            }
            1 => {
                self.drift = (measured - self.offset) / elapsed;
                self.drift_variance = (self.offset_variance + variance) / (elapsed * elapsed);
                self.offset = measured;
                self.offset_variance = variance;
                self.readings = 2;
            }
            _ => self.correct(measured, max_error, elapsed),
        }
        true
    }

    /// Predicts the state after `elapsed` microseconds and corrects it by a measurement.
    fn correct(&mut self, measured: f64, max_error: f64, elapsed: f64) {
        let mut offset_variance = self.offset_variance
            + 2.0 * self.covariance * elapsed
            + self.drift_variance * elapsed * elapsed;
        let mut covariance = self.covariance + self.drift_variance * elapsed;
        let mut drift_variance = self.drift_variance + DRIFT_VARIANCE_PER_MICRO * elapsed;

        let predicted = self.offset + self.drift * elapsed;
        let residual = measured - predicted;
        if self.readings < READINGS_BEFORE_FORGETTING {
            self.readings += 1;
        } else if residual.abs() > FORGETTING_CUTOFF * max_error {
            offset_variance *= FORGETTING_VARIANCE_FACTOR;
            covariance *= FORGETTING_VARIANCE_FACTOR;
            drift_variance *= FORGETTING_VARIANCE_FACTOR;
        }

        let innovation = offset_variance + (max_error * MAX_ERROR_SCALE).powi(2);
        let innovation = innovation.max(INNOVATION_VARIANCE_MIN);
        let offset_gain = offset_variance / innovation;
        let drift_gain = covariance / innovation;
        self.offset = predicted + offset_gain * residual;
        self.drift += drift_gain * residual;
        self.offset_variance = offset_variance - offset_gain * offset_variance;
        self.covariance = covariance - drift_gain * offset_variance;
        self.drift_variance = drift_variance - drift_gain * covariance;
        self.drift_is_significant =
            self.drift * self.drift > DRIFT_SIGNIFICANCE_SQUARED * self.drift_variance;
    }

    /// The best translation as of the last reading; `None` before the first.
    #[must_use]
    pub fn mapping(&self) -> Option<ClockMapping<L, R>> {
        (self.readings > 0).then(|| ClockMapping::new(self.last, self.offset, self.drift()))
    }

    /// Remote microseconds gained in each local microsecond; 0 while that is not significant.
    #[must_use]
    pub fn drift(&self) -> f64 {
        if self.drift_is_significant { self.drift } else { 0.0 }
    }

    /// Standard deviation of the drift; infinite while nothing is known of it.
    #[must_use]
    pub fn drift_error(&self) -> f64 {
        if self.readings < 2 { f64::INFINITY } else { self.drift_variance.max(0.0).sqrt() }
    }

    /// Standard deviation of the offset at the last reading, microseconds; infinite before the first.
    #[must_use]
    pub fn error_us(&self) -> f64 {
        self.offset_variance.max(0.0).sqrt()
    }

    /// Readings used so far, up to the number after which the model may be proved wrong.
    #[must_use]
    pub const fn readings(&self) -> u32 {
        self.readings
    }
}

fn micros_between<L: ClockDomain>(from: Timestamp<L>, to: Timestamp<L>) -> f64 {
    to.as_micros() as f64 - from.as_micros() as f64
}

/// Rounds half away from zero; saturates.
fn round(micros: f64) -> i64 {
    micros.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{ClientClock, ClientTime, ServerClock, ServerTime};
    use proptest::prelude::*;

    type Filter = TimeFilter<ClientClock, ServerClock>;

    fn reading(offset_us: f64, max_error_us: f64, at: i64) -> Reading<ClientClock> {
        Reading { offset_us, max_error_us, at: ClientTime::from_micros(at) }
    }

    /// Equal but for the last few bits: the order of additions differs.
    fn same(ours: f64, theirs: f64, what: &str, line: usize) {
        let tolerance = 1e-7 * theirs.abs().max(1e-30);
        assert!((ours - theirs).abs() <= tolerance, "line {line}: {what} {ours} is not {theirs}");
    }

    #[test]
    fn agrees_with_the_reference_filter() {
        let mut filter = Filter::default();
        for (index, row) in include_str!("../testdata/time_filter.csv").lines().enumerate().skip(1)
        {
            let line = index + 1;
            let column: Vec<f64> = row.split(',').map(|cell| cell.parse().unwrap()).collect();
            let at = column[2] as i64;
            let used = filter.update(reading(column[0], column[1], at));
            same(filter.offset, column[3], "offset", line);
            same(filter.drift, column[4], "drift", line);
            same(filter.offset_variance, column[5], "offset variance", line);
            same(filter.covariance, column[6], "covariance", line);
            same(filter.drift_variance, column[7], "drift variance", line);
            assert_eq!(filter.drift_is_significant, column[8] == 1.0, "line {line}");
            if used {
                let mapping = filter.mapping().unwrap();
                let server = mapping.to_remote(ClientTime::from_micros(at + 5_000_000));
                assert!((server.as_micros() as f64 - column[9]).abs() <= 1.0, "line {line}");
            } else {
                assert_eq!(line, 52, "the one reading that runs backwards");
            }
        }
    }

    #[test]
    fn a_mapping_and_its_inverse_agree() {
        let mapping: ClockMapping<ClientClock, ServerClock> =
            ClockMapping::new(ClientTime::from_micros(40_000_000), -3_600e6, 150e-6);
        for at in [0_i64, 40_000_000, 86_400_000_000] {
            let local = ClientTime::from_micros(at);
            let back = mapping.to_local(mapping.to_remote(local));
            assert!((back - local).abs().as_micros() <= 1, "{local:?} came back as {back:?}");
            let back = mapping.to_local_us(mapping.to_remote_us(at as f64 + 0.25));
            assert!((back - at as f64 - 0.25).abs() < 0.01);
        }
    }

    #[test]
    fn perfect_readings_at_once_do_not_divide_by_zero() {
        let mut filter = Filter::default();
        for at in 1..200 {
            assert!(filter.update(reading(5.0, 0.0, at)));
        }
        assert_eq!(filter.offset, 5.0);
        assert_eq!(filter.mapping().unwrap().to_remote(ClientTime::from_micros(0)).as_micros(), 5);
    }

    #[test]
    fn impossible_readings_change_nothing() {
        let mut filter = Filter::default();
        assert!(filter.update(reading(5.0, 10.0, 100)));
        assert!(!filter.update(reading(6.0, -1.0, 200)), "negative error");
        assert!(!filter.update(reading(f64::NAN, 1.0, 200)), "not a number");
        assert!(!filter.update(reading(6.0, f64::INFINITY, 200)), "infinite error");
        assert!(!filter.update(reading(6.0, 1.0, 100)), "not newer");
        assert_eq!((filter.readings(), filter.offset), (1, 5.0));
    }

    proptest! {
        #[test]
        fn survives_any_readings(rows in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i64>()), 0..50)) {
            let mut filter = Filter::default();
            for (offset, error, at) in rows {
                filter.update(reading(offset as f64, error as f64, at));
                if let Some(mapping) = filter.mapping() {
                    let _ = mapping.to_remote(ClientTime::from_micros(at));
                    let _ = mapping.to_local(ServerTime::from_micros(offset));
                }
            }
        }
    }
}
