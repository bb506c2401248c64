//! The instruments of the demo track. Each is a formula: age of the note in, sample out.

use std::f32::consts::TAU;

use super::super::RATE_HZ;

/// Time over which every note ends, in seconds, so that none ends with a click.
const FADE_SECONDS: f32 = 0.02;

/// An instrument playing one note.
#[derive(Clone, Copy)]
pub(super) enum Voice {
    /// A falling sine.
    Kick,
    /// Bright noise that dies away within `seconds`.
    Hat {
        /// Time to fall to a third.
        seconds: f32,
    },
    /// A burst of noise.
    Clap,
    /// A round low tone of an eighth note.
    Bass {
        /// Pitch.
        hz: f64,
    },
    /// A soft chord tone, a bar long and overlapping the next.
    Pad {
        /// Pitch.
        hz: f64,
    },
    /// A plucked string.
    Pluck {
        /// Pitch.
        hz: f64,
    },
}

impl Voice {
    /// How long it is heard, in frames.
    pub(super) fn frames(self) -> usize {
        (self.seconds() * RATE_HZ as f32) as usize
    }

    fn seconds(self) -> f32 {
        match self {
            Self::Kick => 0.4,
            Self::Hat { seconds } => seconds * 4.0,
            Self::Clap => 0.25,
            Self::Bass { .. } => 0.33,
            Self::Pad { .. } => 2.6,
            Self::Pluck { .. } => 1.2,
        }
    }

    /// Left and right, `age` frames after the note began, under the [`thump`] of that moment.
    pub(super) fn sample(self, age: usize, thump: f32) -> [f32; 2] {
        let t = seconds(age);
        let fade = ((self.seconds() - t) / FADE_SECONDS).min(1.0);
        let [left, right] = match self {
            Self::Kick => both(kick(t)),
            Self::Hat { seconds } => both(bright_noise(age) * (-t / seconds).exp()),
            Self::Clap => both(clap(age, t)),
            Self::Bass { hz } => both(bass(hz, age, t) * (1.0 - 0.35 * thump)),
            Self::Pad { hz } => {
                let swell = attack(t, 0.18) * ((2.6 - t) / 0.7).min(1.0);
                let level = swell * (1.0 - 0.5 * thump);
                // A little out of tune with itself, differently on each side: that is the width.
                [-0.6, 0.6].map(|detune| pad(hz, detune, age) * level)
            }
            Self::Pluck { hz } => both(pluck(hz, age, t)),
        };
        [left * fade, right * fade]
    }
}

fn kick(t: f32) -> f32 {
    // 48 Hz, from 190 Hz: the integral of 48 + 142 e^(-t/0.03).
    let cycles = 48.0 * t + 142.0 * 0.03 * (1.0 - (-t / 0.03).exp());
    (TAU * cycles).sin() * attack(t, 0.001) * (-t / 0.11).exp()
}

fn clap(age: usize, t: f32) -> f32 {
    let body = (TAU * 185.0 * t).sin() * (-t / 0.03).exp();
    0.7 * bright_noise(age / 2) * attack(t, 0.001) * (-t / 0.06).exp() + 0.5 * body
}

fn bass(hz: f64, age: usize, t: f32) -> f32 {
    let tone = sine(hz, age) + 0.45 * sine(2.0 * hz, age) + 0.15 * sine(3.0 * hz, age);
    tone * attack(t, 0.004) * (-t / 0.22).exp()
}

fn pad(hz: f64, detune_hz: f64, age: usize) -> f32 {
    sine(hz, age) + 0.6 * sine(hz + detune_hz, age) + 0.25 * sine(2.0 * hz - detune_hz, age)
}

fn pluck(hz: f64, age: usize, t: f32) -> f32 {
    // The higher a partial, the sooner it is gone, as on a string.
    let decay = (-t / 0.32).exp();
    let third = decay * decay * decay;
    let tone = sine(hz, age) * decay
        + sine(2.0 * hz, age) * 0.5 * decay * decay
        + sine(3.0 * hz, age) * 0.28 * third
        + sine(5.0 * hz, age) * 0.1 * third * third;
    tone * attack(t, 0.002)
}

/// Rises to one over `length_s` seconds.
fn attack(t: f32, length_s: f32) -> f32 {
    (t / length_s).min(1.0)
}

/// How strongly the kick is felt `t` seconds after a beat, without a step: everything sustained makes room
/// for it by this much.
pub(super) fn thump(t: f32) -> f32 {
    (-t / 0.12).exp() * (1.0 - (-t / 0.004).exp())
}

/// A sine, to within 4 millionths: a polynomial, because the demo sums some fifty of them per sample.
fn sine(hz: f64, age: usize) -> f32 {
    // Whole cycles are dropped before the precision of f32 can suffer.
    let cycles = hz * (age as f64 / f64::from(RATE_HZ));
    let from_half = (cycles - (cycles as u32) as f64) as f32 - 0.5;
    // Folded into a quarter of a cycle on either side of zero, where the series converges quickly.
    let quarter =
        if from_half.abs() > 0.25 { from_half.signum() * 0.5 - from_half } else { from_half };
    let x = -TAU * quarter;
    let square = x * x;
    x * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0))))
}

/// High-passed noise in ±1: the difference of two neighbours. The same for every note of an age.
fn bright_noise(age: usize) -> f32 {
    (noise(age + 1) - noise(age)) / 2.0
}

/// A fixed sequence without pattern, in ±1: the integer hash of Chris Wellons, "lowbias32".
fn noise(index: usize) -> f32 {
    let mut x = index as u32;
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^= x >> 16;
    x as f32 / (u32::MAX as f32 / 2.0) - 1.0
}

fn both(sample: f32) -> [f32; 2] {
    [sample, sample]
}

/// Frames as a time.
pub(super) fn seconds(frames: usize) -> f32 {
    frames as f32 / RATE_HZ as f32
}
