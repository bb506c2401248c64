//! Offset and drift of an audio output's clock, from readings whose error is not noise.
//!
//! What a browser reports of its output is steady to some tens of microseconds from one reading to the next, and yet
//! off by far more for seconds: measured in Chromium over PulseAudio against recorded sound, the reported clock runs a
//! hundred ppm too fast or too slow (half of 24 starts by more than 35 ppm, one by 1,600) until 5 s after the output's
//! start, because the client library draws a line through its first few readings, and needs 10 s more to come back.
//! A filter that takes that for a crystal follows it and overshoots.
//!
//! So this is a Kalman filter with three states: offset, drift, and the *fault* of the readings, which comes and goes
//! as an Ornstein-Uhlenbeck process with the time constant and the size that were measured. What changes faster than
//! a crystal can is a fault: around the mean of the first readings, at whose middle that line is right, no true clock
//! leaves a narrow cone, and a reading that does is not used.
//!
//! Pure: numbers in, numbers out.

use protocol::time::{ClientClock, ClientTime, DeviceClock, MICROS_PER_SECOND};
use protocol::time_filter::ClockMapping;

/// Standard deviation of the drift before the first reading, microseconds per second: two crystals within ±100 ppm.
const DRIFT_PRIOR: f64 = 110.0;
/// How far the drift wanders in a second on average, microseconds per second: a room that warms up moves a crystal by
/// a part in a million within minutes.
const WANDER: f64 = 0.032;
/// Size of the fault at first, µs.
const FAULT_EARLY_US: f64 = 300.0;
/// Size of the fault once it has settled, µs.
const FAULT_US: f64 = 30.0;
/// How long after the output's start the fault is as large as that, seconds: so long PulseAudio's library goes by a
/// reading.
const EARLY_S: f64 = 5.0;
/// Time constant of the fault, seconds.
const FAULT_TIME_S: f64 = 4.0;
/// Readings from this long after the output's start on make the anchor, seconds. Before, the audio system is starting.
const ANCHOR_FROM_S: f64 = 0.4;
/// Readings whose mean serves until there is an anchor.
const EARLY_READINGS: f64 = 6.0;
/// When the anchor is complete, seconds.
const ANCHOR_TO_S: f64 = 1.5;
/// Standard deviation of the anchor, µs.
const ANCHOR_ERROR_US: f64 = 100.0;
/// Half the width of the cone at the anchor, µs.
const CONE_US: f64 = 150.0;
/// How fast the cone widens, microseconds per second: twice what a bad crystal drifts.
const CONE_US_PER_S: f64 = 400.0;
/// How long the cone holds, seconds after the output's start: the fault is gone then.
const CONE_S: f64 = 20.0;
/// A reading that is this many standard deviations from what is expected counts for less in proportion (Huber).
const OUTLIER: f64 = 3.0;

/// How a reading depends on the states: offset plus fault.
const SEEN: [f64; 3] = [1.0, 0.0, 1.0];

type Matrix = [[f64; 3]; 3];

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
    /// When the fault became large, if not at the first reading.
    distrusted_at: Option<ClientTime>,
    /// What the drift is before any reading, µs per second.
    prior: f64,
    /// Readings after the first, as long as there is no anchor.
    early: f64,
    anchor: Anchor,
    /// Offset, µs; drift, µs per second; fault, µs.
    state: [f64; 3],
    /// `None` until the anchor is complete.
    covariance: Option<Matrix>,
}

impl OutputFilter {
    /// A filter that takes the drift to be `drift` (dimensionless), give or take what crystals have.
    #[must_use]
    pub fn new(drift: f64) -> Self {
        let prior = drift * MICROS_PER_SECOND as f64;
        Self {
            span: None,
            distrusted_at: None,
            prior,
            early: 0.0,
            anchor: Anchor::default(),
            state: [0.0, prior, 0.0],
            covariance: None,
        }
    }

    /// What is read from `at` on may be as faulty as right after the output's start.
    pub fn distrust(&mut self, at: ClientTime) {
        self.distrusted_at = Some(at);
    }

    /// Takes a reading: device time minus client time in microseconds at `at`, with `noise_us` as its standard
    /// deviation from one reading to the next. One that is not newer than the last, or not finite, changes nothing.
    /// The first serves until the second, which is better, and is forgotten.
    pub fn update(&mut self, at: ClientTime, offset_us: f64, noise_us: f64) {
        let noise = noise_us * noise_us;
        if !(offset_us.is_finite() && noise.is_finite()) {
            return;
        }
        let Some((first, last)) = self.span else {
            self.span = Some((at, at));
            self.state[0] = offset_us;
            return;
        };
        if at <= last {
            return;
        }
        self.span = Some((first, at));
        let age_s = self.age_s();
        let step = transition((at - last).as_secs_f64());
        self.state = step.map(|row| dot(row, self.state));
        let Some(covariance) = self.covariance else {
            // An output that starts can be off by milliseconds from one reading to the next.
            self.early += 1.0;
            self.state[0] += (offset_us - self.state[0]) / self.early.min(EARLY_READINGS);
            self.seek_anchor(age_s, offset_us);
            return;
        };
        let since_fault_s = self.distrusted_at.map_or(age_s, |from| (at - from).as_secs_f64());
        let covariance = predicted(covariance, step, fault_us(since_fault_s));
        let is_used = age_s >= CONE_S || self.is_in_cone(age_s, offset_us);
        let corrected =
            if is_used { self.correct(covariance, offset_us, noise) } else { covariance };
        self.covariance = Some(corrected);
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
        let drift_variance = DRIFT_PRIOR * DRIFT_PRIOR;
        let covariance = drift_variance * since_s;
        let variance = ANCHOR_ERROR_US * ANCHOR_ERROR_US + covariance * since_s;
        let offset_then_us = self.anchor.offset_us + self.prior * since_s;
        self.state = [offset_then_us, self.prior, offset_us - offset_then_us];
        self.covariance = Some([
            [variance, covariance, 0.0],
            [covariance, drift_variance, 0.0],
            [0.0, 0.0, FAULT_EARLY_US * FAULT_EARLY_US],
        ]);
    }

    /// Whether a true clock could have got from the anchor to `offset_us` by now.
    fn is_in_cone(&self, age_s: f64, offset_us: f64) -> bool {
        let since_s = age_s - self.anchor.age_s;
        let off_by_us = offset_us - self.anchor.offset_us - self.prior * since_s;
        off_by_us.abs() <= CONE_US + CONE_US_PER_S * since_s
    }

    /// Corrects the states by a reading. Returns what then is left of their covariance.
    fn correct(&mut self, mut covariance: Matrix, offset_us: f64, noise: f64) -> Matrix {
        let seen = covariance.map(|row| dot(row, SEEN));
        let residual = offset_us - dot(SEEN, self.state);
        let expected = dot(SEEN, seen) + noise;
        let outlier = (residual.abs() / expected.sqrt() / OUTLIER).max(1.0);
        let gain = seen.map(|covariance| covariance / (expected * outlier));
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

    /// The reading that is expected at `at`; `None` before the first.
    #[must_use]
    pub fn expected_us(&self, at: ClientTime) -> Option<f64> {
        let (_, last) = self.span?;
        Some(dot(SEEN, self.state) + self.state[1] * (at - last).as_secs_f64())
    }

    /// Time from the first reading to the last, seconds.
    #[must_use]
    pub fn age_s(&self) -> f64 {
        self.span.map_or(0.0, |(first, last)| (last - first).as_secs_f64())
    }
}

/// How the states move on by themselves within `elapsed_s`.
fn transition(elapsed_s: f64) -> Matrix {
    let kept = (-elapsed_s / FAULT_TIME_S).exp();
    [[1.0, elapsed_s, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, kept]]
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

/// Size of the fault this long after it became large.
fn fault_us(since_s: f64) -> f64 {
    let settling = (-(since_s - EARLY_S).max(0.0) / FAULT_TIME_S).exp();
    (FAULT_EARLY_US * settling).max(FAULT_US)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings each 50 ms for 30 s. Returns the largest error of the offset, µs, from `from_s` to `to_s`.
    fn worst_us(error_us: impl Fn(f64) -> f64, ppm: f64, (from_s, to_s): (f64, f64)) -> f64 {
        let mut filter = OutputFilter::new(0.0);
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
            assert!(worst_us(|_| 0.0, ppm, (0.0, 12.0)) < 400.0, "{ppm} ppm, early");
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

    #[test]
    fn a_reading_that_is_far_off_does_little() {
        let far_off = |s: f64| if (12.0..12.04).contains(&s) { 4_000.0 } else { 0.0 };
        let span = (12.0, 30.0);
        let (with, without) = (worst_us(far_off, 0.0, span), worst_us(|_| 0.0, 0.0, span));
        assert!(with < without + 60.0, "{with} us, {without} us without");
    }

    #[test]
    fn impossible_readings_change_nothing() {
        let mut filter = OutputFilter::new(0.0);
        let at = ClientTime::from_micros;
        filter.update(at(100), 5.0, 10.0);
        for (at, offset_us) in [(at(100), 9.0), (at(90), 9.0), (at(200), f64::NAN)] {
            filter.update(at, offset_us, 10.0);
            assert_eq!((filter.state[0], filter.age_s()), (5.0, 0.0));
        }
    }

    #[test]
    fn extremes_do_no_harm() {
        let mut filter = OutputFilter::new(0.0);
        let numbers = [0.0, -1.0, f64::MIN_POSITIVE, 1e300, f64::MAX, f64::INFINITY, f64::NAN];
        for at in [i64::MIN, -1, 0, 1, i64::MAX] {
            for offset_us in numbers {
                for noise_us in numbers {
                    filter.update(ClientTime::from_micros(at), offset_us, noise_us);
                    let _ = (filter.mapping(), filter.expected_us(ClientTime::from_micros(0)));
                }
            }
        }
        assert!(filter.age_s() > 0.0);
    }
}
