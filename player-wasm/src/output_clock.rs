//! The clock of the audio output: which frame is heard when, learned from what the browser reports.
//!
//! Browsers lie in many ways. What they report is judged first: pairs of `getOutputTimestamp()` are believed while
//! they look like a clock, and the rendered time minus the latency serves in their place. Then the
//! [`output_filter`](crate::output_filter) makes an estimate of what is left.

use std::collections::VecDeque;

use protocol::time::{ClientSpan, ClientTime, MICROS_PER_SECOND};

use crate::output_filter::OutputFilter;

/// A frame of the audio output, counted since its `AudioContext` began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextFrame(pub i64);

/// What the audio output says of its clock at one moment. The shell reports, it does not judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceReading {
    /// Frames per second of the output (`AudioContext.sampleRate`).
    pub rate_hz: u32,
    /// Seconds that were rendered so far (`AudioContext.currentTime`).
    pub rendered_s: f64,
    /// Pair of `AudioContext.getOutputTimestamp()`: context time in seconds that leaves the output at the
    /// given moment. `None` where the browser has no such function.
    pub output_timestamp: Option<(f64, ClientTime)>,
    /// `baseLatency + outputLatency` in seconds, as far as the browser tells them.
    pub latency_s: Option<f64>,
}

/// A reported pair older than this, or from the future by more, is not used.
const REPORT_AGE_US_MAX: i64 = 250_000;
/// A reported pair must lie behind what was rendered by no more than this: no output buffers longer.
const LATENCY_S_MAX: f64 = 2.0;
/// Latency where the browser tells none (Safari before 18.4).
const LATENCY_S_ASSUMED: f64 = 0.040;
/// Pairs this far apart, µs, must tell a rate within [`SLOPE_ERROR_MAX`] of the truth.
const SLOPE_SPAN_US: i64 = 150_000;
/// See [`SLOPE_SPAN_US`]. What was seen is a clock that is off by a tenth, and pairs that err by a millisecond.
const SLOPE_ERROR_MAX: f64 = 0.05;
/// A rate that is wrong in the same way this often in a row is no accident: a step of the latency, or a pair that
/// is far off, spoils one or two.
const WRONG_SLOPES: i32 = 3;
/// Bad pairs in a row after which the pairs are not believed any more.
const BAD_MAX: u32 = 2;
/// Good pairs in a row, over at least [`GOOD_SPAN`], after which they are believed again.
const GOOD_MIN: u32 = 6;
/// See [`GOOD_MIN`].
const GOOD_SPAN: ClientSpan = ClientSpan::from_millis(750);
/// An output that runs for this long has settled, seconds.
const SETTLED_S: f64 = 20.0;
/// So many strange readings that agree tell the truth: another device, another latency.
const AGREEING_READINGS: u32 = 4;
/// A step that is smaller than those is believed when it stays within [`STEADY_US`] for [`STEADY`]: a fault of what is
/// reported fades by more in that time. A buffer that ran empty in the sound system, by any length, makes such steps.
const STEP_US_MIN: f64 = 2_000.0;
/// See [`STEP_US_MIN`].
const STEADY: ClientSpan = ClientSpan::from_millis(2_000);
/// See [`STEP_US_MIN`].
const STEADY_US: f64 = 500.0;
/// Readings of `currentTime` among which the latest edge of a hardware buffer is looked for: 2 s of them.
const EDGE_READINGS: usize = 40;
/// With fewer of them the edge is not known well enough to correct what is known already.
const EDGE_READINGS_MIN: usize = 10;
/// An output whose rendered time stands still for this long does not play.
const FROZEN: ClientSpan = ClientSpan::from_millis(500);

/// How readings of the output's clock come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// `currentTime` minus latency, taken at the edge of a hardware buffer.
    Estimated,
    /// `getOutputTimestamp()`.
    Reported,
}

impl Origin {
    /// Standard deviation from one reading to the next, µs. The reported pairs of Chromium were measured against
    /// recorded sound: 45.
    const fn noise_us(self) -> f64 {
        match self {
            Self::Estimated => 1_000.0,
            Self::Reported => 60.0,
        }
    }

    /// A reading that is this far from what is expected is strange, µs: another way for the sound is longer or shorter by
    /// more. What is off by less is for the filter, unless it stays: [`STEP_US_MIN`]. The pairs of Chromium were seen to
    /// jump by up to 4 ms when the machine stalls, and further at the start; what is lost when a buffer runs empty there
    /// is a multiple of 10.7 ms.
    const fn strange_us(self, has_settled: bool) -> f64 {
        match (self, has_settled) {
            (Self::Estimated, false) => 20_000.0,
            (_, false) | (Self::Estimated, true) => 15_000.0,
            (Self::Reported, true) => 6_000.0,
        }
    }

    /// Strange readings agree that differ by no more than this, µs.
    const fn agreeing_us(self) -> f64 {
        match self {
            Self::Estimated => 4_000.0,
            Self::Reported => 1_000.0,
        }
    }
}

/// Strange readings that agree, without another between them.
#[derive(Clone, Copy, Debug)]
struct Strange {
    count: u32,
    /// When the first was made.
    since: ClientTime,
    /// The first, µs.
    offset_us: f64,
}

/// Learns which frame of the output is heard when.
#[derive(Clone, Debug)]
pub struct OutputClock {
    rate_hz: u32,
    origin: Origin,
    /// The best origin that the filter has learned from.
    best: Origin,
    pairs: Pairs,
    filter: OutputFilter,
    /// The latest readings, if they are strange.
    strange: Option<Strange>,
    /// Latest offsets of `currentTime`, µs.
    edges_us: VecDeque<f64>,
    rendered: (ClientTime, f64),
    /// When the rendered time was last seen to move.
    moved_at: ClientTime,
    latency_s: f64,
}

impl OutputClock {
    /// Starts with the first reading, made at `now`.
    #[must_use]
    pub fn new(now: ClientTime, reading: &DeviceReading) -> Self {
        let mut clock = Self {
            rate_hz: reading.rate_hz.max(1),
            origin: Origin::Estimated,
            best: Origin::Estimated,
            pairs: Pairs::default(),
            filter: OutputFilter::default(),
            strange: None,
            edges_us: VecDeque::with_capacity(EDGE_READINGS),
            rendered: (now, reading.rendered_s),
            moved_at: now,
            latency_s: LATENCY_S_ASSUMED,
        };
        clock.handle_reading(now, reading);
        clock
    }

    /// Takes a reading that was made at `now`.
    pub fn handle_reading(&mut self, now: ClientTime, reading: &DeviceReading) {
        let rendered_s = reading.rendered_s - self.rendered.1;
        if rendered_s > 0.0 {
            let stood_still_s = (now - self.moved_at).as_secs_f64() - rendered_s;
            if stood_still_s > FROZEN.as_secs_f64() {
                self.restart();
            }
            self.moved_at = now;
        }
        self.rendered = (now, reading.rendered_s);
        if let Some(latency_s) = reading.latency_s.filter(|s| (0.0..LATENCY_S_MAX).contains(s)) {
            self.latency_s = latency_s;
        }
        if reading.rendered_s <= 0.0 {
            // Nothing was rendered yet: no reading says anything.
            return;
        }
        let pair = plausible(now, reading).filter(|pair| self.pairs.fits(*pair));
        self.pairs.judge(now, pair);
        let origin = if self.pairs.are_believed { Origin::Reported } else { Origin::Estimated };
        let edge_us = self.edge(offset_us(reading.rendered_s - self.latency_s, now));
        if origin != self.origin {
            self.origin = origin;
            let was_wrong = self.pairs.wrong_slopes.abs() >= WRONG_SLOPES;
            // Otherwise what was learned stays: if the other origin says something else, its readings are strange.
            if was_wrong || self.best == Origin::Estimated {
                self.restart();
            }
        }
        match (origin, pair) {
            (Origin::Reported, Some((context_s, at))) => {
                self.learn(offset_us(context_s, at), at);
            }
            (Origin::Reported, None) => {}
            (Origin::Estimated, _) => {
                if self.edges_us.len() >= EDGE_READINGS_MIN || self.filter.mapping().is_none() {
                    self.learn(edge_us, now);
                }
            }
        }
    }

    /// Offset of the latest edge of a hardware buffer, µs: rendered time stands still within one, and the reading
    /// that is furthest ahead was made right after it moved.
    fn edge(&mut self, offset_us: f64) -> f64 {
        if self.edges_us.len() == EDGE_READINGS {
            self.edges_us.pop_front();
        }
        self.edges_us.push_back(offset_us);
        let edge_us = self.edges_us.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if edge_us - offset_us > Origin::Estimated.strange_us(false) {
            // No hardware buffer is that long: the latency grew, or rendering was interrupted.
            self.edges_us.drain(..self.edges_us.len() / 2);
        }
        edge_us
    }

    /// Begins anew, with the drift that is known: the output was stopped and started, or a clock jumped.
    pub fn restart(&mut self) {
        self.filter = self.filter.restarted();
        self.best = Origin::Estimated;
        self.strange = None;
    }

    fn learn(&mut self, offset_us: f64, at: ClientTime) {
        let has_settled = self.filter.age_s() > SETTLED_S;
        let off_by_us = self.filter.offset_us(at).map_or(0.0, |us| (offset_us - us).abs());
        let is_large = off_by_us > self.origin.strange_us(has_settled);
        let may_be_step = has_settled && self.origin == Origin::Reported && off_by_us > STEP_US_MIN;
        if is_large || may_be_step {
            let agreeing_us = if is_large { self.origin.agreeing_us() } else { STEADY_US };
            let agrees = |first: &Strange| (offset_us - first.offset_us).abs() <= agreeing_us;
            let first = Strange { count: 0, since: at, offset_us };
            let strange = self.strange.filter(agrees).unwrap_or(first);
            let count = strange.count + 1;
            self.strange = Some(Strange { count, ..strange });
            let is_true =
                if is_large { count >= AGREEING_READINGS } else { at - strange.since >= STEADY };
            if is_true {
                self.restart();
            } else if is_large {
                return;
            }
        } else {
            self.strange = None;
        }
        if self.origin == Origin::Reported {
            self.best = Origin::Reported;
        }
        self.filter.update(at, offset_us, self.origin.noise_us());
    }

    /// Whether the output does not play although it was asked to.
    #[must_use]
    pub fn is_frozen(&self, now: ClientTime) -> bool {
        now - self.moved_at > FROZEN
    }

    /// Frames per second of the output.
    #[must_use]
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Client time in microseconds at which `frame` is heard; `None` before the output has begun.
    #[must_use]
    pub fn heard_at_us(&self, frame: f64) -> Option<f64> {
        let device_us = frame * MICROS_PER_SECOND as f64 / f64::from(self.rate_hz);
        self.filter.mapping().map(|mapping| mapping.to_local_us(device_us))
    }

    /// Frame that is heard at `client_us`; `None` before the output has begun.
    #[must_use]
    pub fn heard_frame(&self, client_us: f64) -> Option<f64> {
        let mapping = self.filter.mapping()?;
        Some(mapping.to_remote_us(client_us) * f64::from(self.rate_hz) / MICROS_PER_SECOND as f64)
    }

    /// The first frame that is certainly not rendered yet at `now`.
    #[must_use]
    pub fn unrendered_from(&self, now: ClientTime) -> ContextFrame {
        let (at, rendered_s) = self.rendered;
        let rendered_s = rendered_s + (now - at).as_secs_f64().max(0.0);
        ContextFrame((rendered_s * f64::from(self.rate_hz)).ceil() as i64)
    }

    /// Delay between rendering and hearing, milliseconds, as the estimate has it.
    #[must_use]
    pub fn latency_ms(&self) -> Option<f64> {
        let (at, rendered_s) = self.rendered;
        let heard = self.heard_frame(at.as_micros() as f64)? / f64::from(self.rate_hz);
        Some((rendered_s - heard) * 1e3)
    }

    /// How much faster the output runs than the client's clock, ppm.
    #[must_use]
    pub fn drift_ppm(&self) -> f64 {
        self.filter.drift() * 1e6
    }
}

/// The reported pair, unless it is one of the known lies: zeros before the first render, stale or future
/// moments, a context time ahead of what was rendered or absurdly far behind it.
fn plausible(now: ClientTime, reading: &DeviceReading) -> Option<(f64, ClientTime)> {
    let (context_s, at) = reading.output_timestamp?;
    let rendered_then_s = reading.rendered_s - (now - at).as_secs_f64();
    let behind_s = rendered_then_s - context_s;
    let fresh = (now - at).as_micros().abs() <= REPORT_AGE_US_MAX;
    // A hardware buffer of leeway: currentTime and the pair are not updated together.
    let believable = context_s > 0.0 && (-0.050..LATENCY_S_MAX).contains(&behind_s);
    (fresh && believable).then_some((context_s, at))
}

/// Device time minus client time, µs.
fn offset_us(context_s: f64, at: ClientTime) -> f64 {
    context_s * MICROS_PER_SECOND as f64 - at.as_micros() as f64
}

/// Whether the reported pairs are to be believed.
#[derive(Clone, Debug)]
struct Pairs {
    are_believed: bool,
    /// Good ones in a row since a moment, and bad ones in a row.
    good: (u32, ClientTime),
    bad: u32,
    /// What later pairs are compared with.
    anchor: Option<(f64, ClientTime)>,
    /// How often in a row the rate that they told was too fast (positive) or too slow (negative) for a clock.
    wrong_slopes: i32,
}

impl Default for Pairs {
    /// Believed from the first good one on: sound begins with what there is.
    fn default() -> Self {
        let good = (GOOD_MIN, ClientTime::from_micros(i64::MIN));
        Self { are_believed: false, good, bad: 0, anchor: None, wrong_slopes: 0 }
    }
}

impl Pairs {
    /// Whether the pair tells the rate of a clock, as far as that can be told by now.
    fn fits(&mut self, (context_s, at): (f64, ClientTime)) -> bool {
        let Some((before_s, before)) = self.anchor else {
            self.anchor = Some((context_s, at));
            return true;
        };
        let elapsed = at - before;
        if elapsed.as_micros() >= SLOPE_SPAN_US {
            self.anchor = Some((context_s, at));
            let slope = (context_s - before_s) / elapsed.as_secs_f64();
            self.wrong_slopes = if slope - 1.0 > SLOPE_ERROR_MAX {
                self.wrong_slopes.max(0).saturating_add(1)
            } else if 1.0 - slope > SLOPE_ERROR_MAX {
                self.wrong_slopes.min(0).saturating_sub(1)
            } else {
                0
            };
        }
        self.wrong_slopes.abs() < WRONG_SLOPES
    }

    fn judge(&mut self, now: ClientTime, pair: Option<(f64, ClientTime)>) {
        if pair.is_some() {
            let (count, since) = self.good;
            self.good = if count == 0 { (1, now) } else { (count.saturating_add(1), since) };
            let (count, since) = self.good;
            self.are_believed |= count >= GOOD_MIN && now - since >= GOOD_SPAN;
            self.bad = 0;
        } else if self.anchor.is_some() {
            // Before the first good one the output has not begun.
            self.bad += 1;
            if self.bad >= BAD_MAX {
                self.are_believed = false;
                self.good = (0, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at_us: i64, context_s: f64) -> DeviceReading {
        DeviceReading {
            rate_hz: 48_000,
            rendered_s: context_s + 0.030,
            output_timestamp: Some((context_s, ClientTime::from_micros(at_us))),
            latency_s: Some(0.030),
        }
    }

    /// An output that began at client time 1 s and runs true.
    fn output(origin: fn(DeviceReading) -> DeviceReading) -> OutputClock {
        let at = |i: i64| (1_500_000 + i * 50_000, 0.5 + i as f64 * 0.05);
        let (now, context_s) = at(0);
        let mut clock =
            OutputClock::new(ClientTime::from_micros(now), &origin(reading(now, context_s)));
        for i in 1..40 {
            let (now, context_s) = at(i);
            clock.handle_reading(ClientTime::from_micros(now), &origin(reading(now, context_s)));
        }
        clock
    }

    fn assert_hears_second_two_at_client_three(clock: &OutputClock) {
        let frame = clock.heard_frame(3_000_000.0).unwrap();
        assert!((frame - 96_000.0).abs() < 0.01, "frame {frame}");
        assert!((clock.latency_ms().unwrap() - 30.0).abs() < 0.01);
    }

    #[test]
    fn follows_reported_pairs() {
        assert_hears_second_two_at_client_three(&output(|reading| reading));
    }

    #[test]
    fn estimates_where_nothing_is_reported() {
        let clock = output(|reading| DeviceReading { output_timestamp: None, ..reading });
        assert_hears_second_two_at_client_three(&clock);
    }

    #[test]
    fn lies_of_browsers_are_not_believed() {
        for lie in [
            |r: DeviceReading| DeviceReading {
                output_timestamp: Some((0.0, ClientTime::from_micros(0))),
                ..r
            },
            |r: DeviceReading| DeviceReading {
                output_timestamp: r.output_timestamp.map(|(s, at)| (s * 1e3, at)),
                ..r
            },
            |r: DeviceReading| DeviceReading {
                output_timestamp: r
                    .output_timestamp
                    .map(|(s, at)| (s, ClientTime::from_micros(at.as_micros() * 1_000))),
                ..r
            },
        ] {
            assert_hears_second_two_at_client_three(&output(lie));
        }
    }

    #[test]
    fn another_output_device_is_accepted_after_four_readings() {
        let mut clock = output(|reading| reading);
        for i in 0..4 {
            let now = 3_500_000 + i * 50_000;
            let context_s = 2.5 + i as f64 * 0.05 - 0.180;
            clock.handle_reading(ClientTime::from_micros(now), &reading(now, context_s));
        }
        let frame = clock.heard_frame(4_000_000.0).unwrap();
        assert!((frame - 2.82 * 48_000.0).abs() < 1.0, "frame {frame}");
    }

    #[test]
    fn a_small_step_is_believed_when_it_stays() {
        let off_by_us = |lasts_s: f64, heard_at_s: f64| {
            let at = |s: f64| ClientTime::from_micros((1e6 + s * 1e6) as i64);
            let mut clock = OutputClock::new(at(0.0), &reading(1_000_000, 0.001));
            for i in 1..(heard_at_s * 20.0) as i64 {
                let s = i as f64 * 0.05;
                let step_s = if (30.0..30.0 + lasts_s).contains(&s) { 0.003 } else { 0.0 };
                let now = at(s);
                clock.handle_reading(now, &reading(now.as_micros(), s + 0.001 - step_s));
            }
            let frame = clock.heard_frame(at(heard_at_s).as_micros() as f64).unwrap();
            (frame / 48_000.0 - heard_at_s - 0.001) * 1e6
        };
        for (lasts_s, heard_at_s, expected_us) in
            [(1.5, 31.4, 0.0), (1.5, 40.0, 0.0), (60.0, 32.2, -3_000.0), (60.0, 60.0, -3_000.0)]
        {
            let off_us = off_by_us(lasts_s, heard_at_s) - expected_us;
            assert!(off_us.abs() < 100.0, "{lasts_s} s: {off_us} us at {heard_at_s} s");
        }
    }
}
