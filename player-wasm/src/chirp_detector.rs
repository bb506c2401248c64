//! Finds chirps in a recording, and says when each was heard, to a small part of a frame.
//!
//! What is recorded is mixed down to the band of the chirps and thinned out, and compared with both sweeps at every
//! place (a matched filter). Of every period the loudest place of each sweep counts if it stands out from the noise,
//! or rather the first strong one before it: sound that came over a wall may be louder, but not earlier.
//!
//! Pure; works on blocks as they come. No place of the recording is kept for longer than two periods.
//!
//! Source: matched filter and pulse compression of linear sweeps, as in radar; the weighting that keeps what is beside
//! a peak low is a Hann window.

use std::f64::consts::{PI, TAU};

use crate::calibration::median;
use crate::chirp::{CENTRE_HZ, LENGTH_S, PERIOD_S, SLOPE};

/// Places looked at in a second, about: enough for a band of 3.5 kHz and the slopes of the filter.
const PLACES_PER_S: f64 = 8_000.0;
/// A peak this many times above the median of its period is a chirp. Of noise alone, the largest place in a period is 3.5
/// times above the median.
const STANDS_OUT: f32 = 6.0;
/// The direct sound is at least this part of what comes later by other ways.
const DIRECT_MIN: f32 = 0.5;
/// Sound that comes by other ways is later by up to this, seconds: 5 m.
const DETOUR_S: f64 = 0.015;
/// The louder sweep leaves a trace in the comparison with the other one, for this long before and after, seconds.
const TRACE_S: f64 = LENGTH_S + 0.016;
/// What is kept around a period, seconds, for the way back to the direct sound and the shape of a peak at its border.
const MARGIN_S: f64 = 0.05;

/// When the chirps of one period were heard, seconds since the beginning of the recording: the middle of each, up and
/// down.
pub type Arrivals = [Option<f64>; 2];

/// Complex number.
type Phasor = [f32; 2];

/// Looks for both sweeps in one recording.
#[derive(Debug)]
pub struct ChirpDetector {
    /// Frames of the recording for a place.
    step: usize,
    places_per_s: f64,
    /// Turns of the mixer at the next frame, and for each frame.
    turns: [f64; 2],
    low_pass: Vec<f32>,
    mixed: Vec<Phasor>,
    sweep: Vec<Phasor>,
    thinned: Vec<Phasor>,
    /// How much the recording is like each sweep, from place `first` on.
    likeness: [Vec<f32>; 2],
    first: usize,
    /// Where the period begins that is looked at next.
    begin: usize,
}

impl ChirpDetector {
    /// For a recording of `rate_hz`; below 12 kHz nothing will be found in it.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        let rate_hz = f64::from(rate_hz.max(1));
        let step = (rate_hz / PLACES_PER_S).round().max(1.0);
        let places_per_s = rate_hz / step;
        let taps = 8 * step as usize + 1;
        // Half of the band's edge passes in full; what would fold back into the band is stopped.
        let low_pass = (0..taps).map(|i| {
            let x = PI * (i as f64 - (taps / 2) as f64) / step;
            let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
            (sinc * hann(i, taps) / step) as f32
        });
        let length = (LENGTH_S * places_per_s) as usize;
        let sweep = (0..length).map(|i| {
            let s = (i as f64 - (length - 1) as f64 / 2.0) / places_per_s;
            let (sin, cos) = (PI * SLOPE * s * s).sin_cos();
            [cos, sin].map(|part| (part * hann(i, length)) as f32)
        });
        Self {
            step: step as usize,
            places_per_s,
            turns: [0.0, (CENTRE_HZ / rate_hz).fract()],
            low_pass: low_pass.collect(),
            mixed: Vec::new(),
            sweep: sweep.collect(),
            thinned: Vec::new(),
            likeness: [Vec::new(), Vec::new()],
            first: 0,
            begin: 0,
        }
    }

    /// Takes the next block of the recording. Call [`Self::next_period`] afterwards until there is none.
    pub fn hear(&mut self, samples: &[f32]) {
        let [turns, turns_each] = &mut self.turns;
        for sample in samples {
            let (sin, cos) = (TAU * *turns).sin_cos();
            self.mixed.push([sample * cos as f32, -sample * sin as f32]);
            *turns = (*turns + *turns_each).fract();
        }
        let mut at = 0;
        while let Some(window) = self.mixed.get(at..at + self.low_pass.len()) {
            let sum = window.iter().zip(&self.low_pass).fold([0.0; 2], |sum, (sample, tap)| {
                [sum[0] + sample[0] * tap, sum[1] + sample[1] * tap]
            });
            self.thinned.push(sum);
            at += self.step;
        }
        self.mixed.drain(..at);
        let places = (self.thinned.len() + 1).saturating_sub(self.sweep.len());
        for at in 0..places {
            let [up, down] = self.likeness_at(at);
            self.likeness[0].push(up);
            self.likeness[1].push(down);
        }
        self.thinned.drain(..places);
    }

    /// How much the recording from a place on is like each sweep. One is the other's mirror image, so that both are made
    /// of the same four products.
    fn likeness_at(&self, at: usize) -> [f32; 2] {
        let [mut aa, mut ab, mut ba, mut bb] = [0.0_f32; 4];
        for ([a, b], [c, d]) in self.thinned[at..].iter().zip(&self.sweep) {
            aa += a * c;
            bb += b * d;
            ab += a * d;
            ba += b * c;
        }
        [(aa + bb).hypot(ba - ab), (aa - bb).hypot(ba + ab)]
    }

    /// When the chirps of the next period were heard; `None` until a whole period more is there.
    pub fn next_period(&mut self) -> Option<Arrivals> {
        let [period, margin] = [PERIOD_S, MARGIN_S].map(|s| (s * self.places_per_s) as usize);
        let from = self.begin - self.first;
        if self.likeness[0].len() < from + period + margin {
            return None;
        }
        let peaks =
            [0, 1].map(|sweep| loudest(&self.likeness[sweep][from..from + period], |_| true));
        let louder = usize::from(peaks[1].1 > peaks[0].1);
        let trace = (TRACE_S * self.places_per_s) as usize;
        let loud_at = peaks[louder].0;
        let is_clear = |at: usize| {
            let apart = at.abs_diff(loud_at);
            apart.min(period - apart) > trace
        };
        let softer = &self.likeness[1 - louder][from..from + period];
        let mut found = peaks;
        found[1 - louder] = loudest(softer, is_clear);
        let arrivals = [0, 1].map(|sweep| {
            let (at, level) = found[sweep];
            let stands_out =
                level > STANDS_OUT * median_of(&self.likeness[sweep][from..from + period]);
            stands_out.then(|| self.arrival(sweep, from + at)).flatten()
        });
        self.begin += period;
        let gone = self.begin.saturating_sub(margin) - self.first;
        for likeness in &mut self.likeness {
            likeness.drain(..gone);
        }
        self.first += gone;
        Some(arrivals)
    }

    /// When the sound was heard whose loudest place is `at`; `None` if that is no peak, but the slope of one.
    fn arrival(&self, sweep: usize, at: usize) -> Option<f64> {
        let likeness = &self.likeness[sweep];
        let is_peak = |at: &usize| {
            let around = at.checked_sub(1).and_then(|before| likeness.get(before..before + 3));
            around.is_some_and(|it| it[0] <= it[1] && it[1] > it[2])
        };
        let back = (DETOUR_S * self.places_per_s) as usize;
        let before = at.saturating_sub(back)..=at;
        // At the border of a period it may be no more than the skirt of a peak on the other side.
        if !is_peak(&at) || before.clone().any(|it| likeness[it] > likeness[at]) {
            return None;
        }
        let strong = DIRECT_MIN * likeness[at];
        let direct = before.filter(|at| likeness[*at] >= strong).find(is_peak)?;
        // A parabola through the logarithms, for the top of such a peak is a bell.
        let [left, top, right] = [direct - 1, direct, direct + 1].map(|at| likeness[at].ln());
        let bend = left - 2.0 * top + right;
        let beside = if bend < 0.0 { f64::from((left - right) / (2.0 * bend)) } else { 0.0 };
        let place = (self.first + direct) as f64 + beside + (self.sweep.len() - 1) as f64 / 2.0;
        let in_frames = place * self.step as f64 + (self.low_pass.len() / 2) as f64;
        Some(in_frames / (self.places_per_s * self.step as f64))
    }
}

/// Place and level of the loudest of `likeness` that is `eligible`.
fn loudest(likeness: &[f32], eligible: impl Fn(usize) -> bool) -> (usize, f32) {
    let mut best = (0, 0.0);
    for (at, level) in likeness.iter().enumerate() {
        if *level > best.1 && eligible(at) {
            best = (at, *level);
        }
    }
    best
}

/// The level in the middle: a few loud places do not move it. Of every 64th, which are hundreds.
fn median_of(likeness: &[f32]) -> f32 {
    let some: Vec<f64> = likeness.iter().step_by(64).map(|level| f64::from(*level)).collect();
    median(&some).unwrap_or_default() as f32
}

/// A Hann window of `length`, without its zeros.
fn hann(i: usize, length: usize) -> f64 {
    (PI * (i as f64 + 0.5) / length as f64).sin().powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chirp::Sweep;

    #[test]
    fn the_middle_of_a_chirp_is_when_it_is_said_to_be_heard() {
        for (rate_hz, begin_s) in [(48_000, 0.7), (44_100, 1.234_567), (48_000, 1.999)] {
            let mut detector = ChirpDetector::new(rate_hz);
            let sound = |s: f64| Sweep::Up.at(s - begin_s) + Sweep::Down.at(s - begin_s - 0.4);
            let frames = 0..5 * rate_hz;
            let recording = frames.map(|frame| sound(f64::from(frame) / f64::from(rate_hz)) as f32);
            detector.hear(&recording.collect::<Vec<_>>());
            let periods: Vec<Arrivals> = std::iter::from_fn(|| detector.next_period()).collect();
            assert_eq!(periods.len(), 2);
            let found =
                [0, 1].map(|sweep| periods.iter().filter_map(|it| it[sweep]).collect::<Vec<_>>());
            for (found, begin_s) in found.iter().zip([begin_s, begin_s + 0.4]) {
                let [at] = found[..] else { panic!("{periods:?}") };
                assert!((at - begin_s - LENGTH_S / 2.0).abs() < 10e-6, "{at} s for {begin_s} s");
            }
        }
    }

    #[test]
    fn no_more_is_kept_than_is_needed() {
        let mut detector = ChirpDetector::new(48_000);
        for _ in 0..200 {
            detector.hear(&[0.1; 4_000]);
            while detector.next_period().is_some() {}
            let kept = detector.likeness[0].len() as f64 / detector.places_per_s;
            assert!(kept < 1.2 * PERIOD_S, "{kept} s");
            assert!(detector.thinned.len() + detector.mixed.len() < 1_000);
        }
    }
}
