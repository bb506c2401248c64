//! Offset and drift of an audio output's clock, from readings whose error is not noise.
//!
//! What a browser reports of its output is steady to some tens of microseconds from one reading to the next, and yet
//! off by far more for seconds: measured in Chromium over PulseAudio against recorded sound, the reported clock runs a
//! hundred ppm too fast or too slow (half of 24 starts by more than 35 ppm, one by 1,600) until 5 s after the output's
//! start, because the client library draws a line through its first few readings, and needs 10 s more to come back.
//! A filter that takes that for a crystal follows it and overshoots.
//!
//! So this is a Kalman filter with three states: offset, drift, and the *fault* of the readings, which comes and goes
//! as an Ornstein-Uhlenbeck process with the time constant that was measured. How large a fault is possible changes:
//! it is much at the output's start, and again whenever a reading is further off than that explains, as it is for some
//! seconds after the machine stood still. What changes faster than a crystal can is a fault as well: from the mean of
//! the first readings, at whose middle that line is right, no true clock leaves a narrow cone.
//!
//! Pure: numbers in, numbers out.

use protocol::time::{ClientClock, ClientSpan, ClientTime, DeviceClock, MICROS_PER_SECOND};
use protocol::time_filter::ClockMapping;

/// Standard deviation of the drift before the first reading, microseconds per second: two crystals within ±100 ppm.
const DRIFT_PRIOR: f64 = 110.0;
/// The same at least when the output began anew, microseconds per second: it may be another one.
const DRIFT_KEPT: f64 = 20.0;
/// How far the drift wanders in a second on average, microseconds per second: a room that warms up moves a crystal by
/// a part in a million within minutes.
const WANDER: f64 = 0.032;
/// Size of the fault at the output's start, µs.
const FAULT_EARLY_US: f64 = 300.0;
/// How long after the output's start the fault is as large as that, seconds: so long PulseAudio's library goes by a
/// reading.
const EARLY_S: f64 = 5.0;
/// Size of the fault when all is well, µs.
const FAULT_US: f64 = 60.0;
/// Largest size of the fault that is thought possible, µs.
const FAULT_US_MAX: f64 = 5_000.0;
/// How long the fault stays as large as a reading showed it to be, seconds.
const FAULT_HOLD_S: f64 = 3.0;
/// Time constant of the fault, and of its size, seconds.
const FAULT_TIME_S: f64 = 4.0;
/// A reading that is this many standard deviations from what is expected is an outlier, and not used.
const OUTLIER: f64 = 4.0;
/// So many outliers in a row show a larger fault.
const OUTLIERS: u32 = 4;
/// Readings whose steps tell their noise.
const NOISE_READINGS: usize = 64;
/// Standard deviation of white noise, as a part of its mean absolute step: √π / 2.
const NOISE_PER_STEP: f64 = 0.886;
/// Readings from this long after the output's start on make the anchor, seconds. Before, the audio system is starting.
const ANCHOR_FROM_S: f64 = 0.4;
/// Readings whose median serves until there is an anchor: an output that starts can be off by milliseconds from one
/// reading to the next.
const EARLY_READINGS: usize = 5;
/// When the anchor is complete, seconds.
const ANCHOR_TO_S: f64 = 1.5;
/// Standard deviation of the anchor, µs.
const ANCHOR_ERROR_US: f64 = 100.0;
/// Half the width of the cone at the anchor, µs.
const CONE_US: f64 = 150.0;
/// How fast the cone widens, microseconds per second: more than two bad crystals differ by.
const CONE_US_PER_S: f64 = 500.0;
/// How long the cone holds, seconds after the output's start: the fault is gone then.
const CONE_S: f64 = 20.0;

/// How a reading depends on the states: offset plus fault.
const SEEN: [f64; 3] = [1.0, 0.0, 1.0];

type Matrix = [[f64; 3]; 3];

/// Device time minus client time, µs, when it was read, and the standard deviation of that.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: ClientTime,
    offset_us: f64,
    noise_us: f64,
}

/// Mean of the readings at whose middle the reported line is right.
#[derive(Clone, Copy, Debug, Default)]
struct Anchor {
    readings: u32,
    age_s: f64,
    offset_us: f64,
}

impl Anchor {
    fn add(&mut self, age_s: f64, offset_us: f64) {
        self.readings += 1;
        let weight = f64::from(self.readings).recip();
        self.age_s += (age_s - self.age_s) * weight;
        self.offset_us += (offset_us - self.offset_us) * weight;
    }
}

/// Estimates an audio output's clock as seen from the client's.
#[derive(Clone, Copy, Debug)]
pub struct OutputFilter {
    /// First and last reading.
    span: Option<(ClientTime, ClientTime)>,
    /// Size of the fault that is possible, µs, and until when it is not less.
    fault_us: f64,
    fault_until: ClientTime,
    /// What the drift is before any reading, and its standard deviation, µs per second.
    prior: (f64, f64),
    /// Readings after the first.
    readings: usize,
    /// The latest of them, µs, until there is an anchor.
    early_us: [f64; EARLY_READINGS],
    /// Outliers in a row.
    outliers: u32,
    /// The last reading, and how far it is from one to the next on average, µs.
    last_us: f64,
    step_us: f64,
    anchor: Anchor,
    /// Offset, µs; drift, µs per second; fault, µs.
    state: [f64; 3],
    /// `None` until the anchor is complete.
    covariance: Option<Matrix>,
}

impl Default for OutputFilter {
    /// A filter that knows nothing.
    fn default() -> Self {
        Self::with_drift(0.0, DRIFT_PRIOR)
    }
}

impl OutputFilter {
    /// A filter that knows of the drift what this one has learned: the output began anew, its crystal did not.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let [_, drift, _] = self.state;
        let learned = self.covariance.map_or(self.prior.1, |covariance| covariance[1][1].sqrt());
        Self::with_drift(drift, learned.clamp(DRIFT_KEPT, DRIFT_PRIOR))
    }

    fn with_drift(drift: f64, deviation: f64) -> Self {
        Self {
            span: None,
            fault_us: FAULT_EARLY_US,
            fault_until: ClientTime::from_micros(0),
            prior: (drift, deviation),
            readings: 0,
            early_us: [0.0; EARLY_READINGS],
            outliers: 0,
            last_us: 0.0,
            step_us: 0.0,
            anchor: Anchor::default(),
            state: [0.0, drift, 0.0],
            covariance: None,
        }
    }

    /// Takes a reading: device time minus client time in microseconds at `at`, with `noise_us` as its standard
    /// deviation from one reading to the next, unless that is seen to be more. A reading that is not newer than the
    /// last, or not finite, changes nothing. The first serves until the second, which is better, and is forgotten.
    pub fn update(&mut self, at: ClientTime, offset_us: f64, noise_us: f64) {
        if !(offset_us.is_finite() && noise_us.is_finite()) {
            return;
        }
        let Some((first, last)) = self.span else {
            self.span = Some((at, at));
            self.fault_until = at + seconds(EARLY_S);
            self.state[0] = offset_us;
            self.last_us = offset_us;
            return;
        };
        if at <= last {
            return;
        }
        self.span = Some((first, at));
        let age_s = self.age_s();
        let elapsed_s = (at - last).as_secs_f64();
        let noise_us = noise_us.max(NOISE_PER_STEP * self.step_us);
        self.early_us[self.readings % EARLY_READINGS] = offset_us;
        self.readings += 1;
        let apart_us = (offset_us - self.last_us).abs();
        self.step_us += (apart_us - self.step_us) / self.readings.min(NOISE_READINGS) as f64;
        self.last_us = offset_us;
        let step = transition(elapsed_s);
        self.state = step.map(|row| dot(row, self.state));
        let Some(covariance) = self.covariance else {
            self.state[0] = median(self.early_us, self.readings);
            self.seek_anchor(age_s, offset_us);
            return;
        };
        if at > self.fault_until {
            self.fault_us = (self.fault_us * kept(elapsed_s)).max(FAULT_US);
        }
        let covariance = predicted(covariance, step, self.fault_us);
        let reading = Reading { at, offset_us, noise_us };
        let is_possible = age_s >= CONE_S || self.cone_us(age_s, offset_us) < OUTLIER * noise_us;
        self.covariance = Some(self.correct(covariance, reading, is_possible));
    }

    /// Adds a reading to the anchor, and begins anew from there when it is complete.
    fn seek_anchor(&mut self, age_s: f64, offset_us: f64) {
        if age_s < ANCHOR_FROM_S {
            return;
        }
        self.anchor.add(age_s, offset_us);
        if age_s < ANCHOR_TO_S {
            return;
        }
        let since_s = age_s - self.anchor.age_s;
        let (drift, deviation) = self.prior;
        let drift_variance = deviation * deviation;
        let covariance = drift_variance * since_s;
        let variance = ANCHOR_ERROR_US * ANCHOR_ERROR_US + covariance * since_s;
        let offset_then_us = self.anchor.offset_us + drift * since_s;
        self.state = [offset_then_us, drift, offset_us - offset_then_us];
        self.covariance = Some([
            [variance, covariance, 0.0],
            [covariance, drift_variance, 0.0],
            [0.0, 0.0, FAULT_EARLY_US * FAULT_EARLY_US],
        ]);
    }

    /// How far outside of what a true clock could have got to from the anchor by now `offset_us` is.
    fn cone_us(&self, age_s: f64, offset_us: f64) -> f64 {
        let since_s = age_s - self.anchor.age_s;
        let off_by_us = offset_us - self.anchor.offset_us - self.prior.0 * since_s;
        off_by_us.abs() - CONE_US - CONE_US_PER_S * since_s
    }

    /// Corrects the states by a reading. Returns what then is left of their covariance.
    fn correct(&mut self, mut covariance: Matrix, reading: Reading, is_possible: bool) -> Matrix {
        let Reading { at, offset_us, noise_us } = reading;
        let residual = offset_us - dot(SEEN, self.state);
        let expected = |seen: [f64; 3]| dot(SEEN, seen) + noise_us * noise_us;
        let seen = covariance.map(|row| dot(row, SEEN));
        if !is_possible || residual.abs() > OUTLIER * expected(seen).sqrt() {
            self.outliers += 1;
            if self.outliers < OUTLIERS {
                return covariance;
            }
            let shown_us = residual.abs().min(FAULT_US_MAX);
            if shown_us > self.fault_us {
                self.fault_us = shown_us;
                self.fault_until = at + seconds(FAULT_HOLD_S);
            }
            covariance[2][2] += residual * residual;
        } else {
            self.outliers = 0;
        }
        if !is_possible {
            // All of it is the fault's, whatever the fault was before.
            self.state[2] += residual;
            for other in [0, 1] {
                covariance[2][other] = 0.0;
                covariance[other][2] = 0.0;
            }
            return covariance;
        }
        let seen = covariance.map(|row| dot(row, SEEN));
        let gain = seen.map(|covariance| covariance / expected(seen));
        for ((state, row), gain) in self.state.iter_mut().zip(&mut covariance).zip(gain) {
            *state += gain * residual;
            for (covariance, seen) in row.iter_mut().zip(seen) {
                *covariance -= gain * seen;
            }
        }
        covariance
    }

    /// The best translation as of the last reading; `None` before the first.
    #[must_use]
    pub fn mapping(&self) -> Option<ClockMapping<ClientClock, DeviceClock>> {
        self.span.map(|(_, at)| ClockMapping::new(at, self.state[0], self.drift()))
    }

    /// Microseconds that the output gains in each of the client's.
    #[must_use]
    pub fn drift(&self) -> f64 {
        self.state[1] / MICROS_PER_SECOND as f64
    }

    /// The offset at `at`, µs; `None` before the first reading.
    #[must_use]
    pub fn offset_us(&self, at: ClientTime) -> Option<f64> {
        let (_, last) = self.span?;
        Some(self.state[0] + self.state[1] * (at - last).as_secs_f64())
    }

    /// Time from the first reading to the last, seconds.
    #[must_use]
    pub fn age_s(&self) -> f64 {
        self.span.map_or(0.0, |(first, last)| (last - first).as_secs_f64())
    }
}

/// What is left of a fault after `elapsed_s`, as a part of it.
fn kept(elapsed_s: f64) -> f64 {
    (-elapsed_s / FAULT_TIME_S).exp()
}

/// How the states move on by themselves within `elapsed_s`.
fn transition(elapsed_s: f64) -> Matrix {
    [[1.0, elapsed_s, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, kept(elapsed_s)]]
}

/// `covariance` after `step`, while the fault has size `fault_us`.
fn predicted(covariance: Matrix, step: Matrix, fault_us: f64) -> Matrix {
    let [[_, elapsed_s, _], _, [_, _, kept]] = step;
    // step · covariance · stepᵀ, and the covariance is its own transpose.
    let half = step.map(|row| covariance.map(|column| dot(row, column)));
    let mut covariance = half.map(|row| step.map(|column| dot(row, column)));
    covariance[1][1] += WANDER * WANDER * elapsed_s;
    covariance[2][2] += fault_us * fault_us * (1.0 - kept * kept);
    covariance
}

/// Median of the first `count`.
fn median<const N: usize>(mut values: [f64; N], count: usize) -> f64 {
    let values = &mut values[..count.clamp(1, N)];
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const fn seconds(s: f64) -> ClientSpan {
    ClientSpan::from_micros((s * MICROS_PER_SECOND as f64) as i64)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings each 50 ms for 30 s. Returns the largest error of the offset, µs, from `from_s` to `to_s`.
    fn worst_us(error_us: impl Fn(f64) -> f64, ppm: f64, (from_s, to_s): (f64, f64)) -> f64 {
        let mut filter = OutputFilter::default();
        let mut worst = 0.0_f64;
        for i in 0..600 {
            let s = f64::from(i) * 0.05;
            let at = ClientTime::from_micros(1 + i64::from(i) * 50_000);
            filter.update(at, 7_000.0 + ppm * s + error_us(s), 60.0);
            if (from_s..to_s).contains(&s) {
                worst = worst.max((filter.state[0] - 7_000.0 - ppm * s).abs());
            }
        }
        worst
    }

    /// The fault that was measured: a line that is right after 0.95 s and off by `us` after 4 s, forgotten after 5 s.
    fn settling(us: f64) -> impl Fn(f64) -> f64 {
        move |s| {
            if s < 5.0 { (s.max(0.2) - 0.95) / 3.05 * us } else { us * ((5.0 - s) / 3.5).exp() }
        }
    }

    #[test]
    fn follows_any_crystal() {
        for ppm in [0.0, 60.0, -200.0] {
            assert!(worst_us(|_| 0.0, ppm, (0.0, 12.0)) < 600.0, "{ppm} ppm, early");
            assert!(worst_us(|_| 0.0, ppm, (12.0, 30.0)) < 100.0, "{ppm} ppm");
        }
    }

    #[test]
    fn a_fault_is_not_taken_for_a_drift() {
        for us in [300.0, -1_000.0] {
            let early = worst_us(settling(us), 0.0, (1.0, 10.0));
            assert!(early < 1.33 * us.abs(), "{us} us became {early} us: overshoot");
            let later = worst_us(settling(us), 0.0, (15.0, 30.0));
            assert!(later < 0.1 * us.abs(), "{us} us left {later} us");
        }
    }

    /// What was measured when the machine stood still for a moment: a jump that goes away within ten seconds.
    #[test]
    fn a_jump_that_goes_away_does_little() {
        for s in [10.0, 25.0] {
            let jump = |now: f64| if now < s { 0.0 } else { -1_200.0 * ((s - now) / 4.0).exp() };
            let off_us = worst_us(jump, 20.0, (s, 30.0));
            assert!(off_us < 300.0, "{off_us} us");
        }
    }

    #[test]
    fn a_reading_that_is_far_off_does_little() {
        let far_off = |s: f64| if (12.0..12.04).contains(&s) { 4_000.0 } else { 0.0 };
        let span = (12.0, 30.0);
        let (with, without) = (worst_us(far_off, 0.0, span), worst_us(|_| 0.0, 0.0, span));
        assert!(with < without + 60.0, "{with} us, {without} us without");
    }

    #[test]
    fn impossible_readings_change_nothing() {
        let mut filter = OutputFilter::default();
        let at = ClientTime::from_micros;
        filter.update(at(100), 5.0, 10.0);
        for (at, offset_us) in [(at(100), 9.0), (at(90), 9.0), (at(200), f64::NAN)] {
            filter.update(at, offset_us, 10.0);
            assert_eq!((filter.state[0], filter.age_s()), (5.0, 0.0));
        }
    }

    #[test]
    fn extremes_do_no_harm() {
        let mut filter = OutputFilter::default();
        let numbers = [0.0, -1.0, f64::MIN_POSITIVE, 1e300, f64::MAX, f64::INFINITY, f64::NAN];
        for at in [i64::MIN, -1, 0, 1, i64::MAX] {
            for offset_us in numbers {
                for noise_us in numbers {
                    filter.update(ClientTime::from_micros(at), offset_us, noise_us);
                    let _ = (filter.mapping(), filter.offset_us(ClientTime::from_micros(0)));
                }
            }
        }
        assert!(filter.age_s() > 0.0);
    }
}
