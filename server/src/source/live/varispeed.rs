//! Reads a stereo stream a few parts per million faster or slower than it was made.
//!
//! Each output frame is read at a fractional position with a windowed sinc. At a whole position the sinc is a single
//! one, so a stream that is read at its own pace comes out as it went in, bit for bit, and going from one to the other
//! makes no seam: whoever is between two frames when the pace becomes normal glides to the next whole one first.

use std::f64::consts::PI;

use crate::source::CHANNELS;

/// Frames on each side of a position that count. With 24, it is flat to 20 kHz at 48 kHz.
const REACH: usize = 24;

/// Positions between two frames for which there is a kernel; what lies in between is interpolated, which is exact to
/// -108 dB of full scale.
const PHASES: usize = 512;

/// A whole frame in units of a position.
const ONE: u64 = 1 << 32;

/// Pace at which the next whole position is gone to, ppm: from half a frame beside it, that takes a tenth of a second.
const GLIDE_PPM: f64 = 100.0;

/// The reader.
#[derive(Debug, Default)]
pub(super) struct Varispeed {
    /// [`PHASES`] + 1 kernels of 2 × [`REACH`] values; made when first needed.
    kernels: Vec<f32>,
    /// What was taken in: up to [`REACH`] frames before the position, and everything after it.
    frames: Vec<f32>,
    /// The position of the next output frame in `frames`, in units of [`ONE`].
    position: u64,
    /// How much further each output frame is; `None` is one frame, at whole positions.
    step: Option<u64>,
}

impl Varispeed {
    /// Reads `ppm` faster from now on, slower if it is negative. `None` reads as it is.
    pub(super) fn set_pace(&mut self, ppm: Option<f64>) {
        self.step = ppm.map(step_of);
        if ppm.is_some() && self.kernels.is_empty() {
            self.kernels = kernels();
        }
    }

    /// Takes interleaved stereo frames in and appends what can be read to `out`. Whether they came out untouched.
    pub(super) fn read(&mut self, stereo: &[f32], out: &mut Vec<f32>) -> bool {
        self.frames.extend_from_slice(stereo);
        let exact = self.advance(out);
        let past = (self.position / ONE) as usize;
        let surplus = past.saturating_sub(REACH);
        self.frames.drain(..surplus * CHANNELS);
        self.position -= surplus as u64 * ONE;
        exact
    }

    /// Appends what it still holds: the stream ends here, or has a hole.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) {
        if !self.position.is_multiple_of(ONE) || self.step.is_some() {
            self.frames.extend([0.0; REACH * CHANNELS]);
            self.advance(out);
        }
        self.frames.clear();
        self.position = 0;
    }

    fn advance(&mut self, out: &mut Vec<f32>) -> bool {
        let count = self.frames.len() / CHANNELS;
        let mut exact = true;
        loop {
            let whole = (self.position / ONE) as usize;
            let fraction = self.position % ONE;
            if fraction == 0 && self.step.is_none() {
                let rest = (whole * CHANNELS).min(self.frames.len());
                out.extend_from_slice(&self.frames[rest..]);
                self.position = count as u64 * ONE;
                return exact;
            }
            if whole + REACH >= count {
                return exact;
            }
            exact = false;
            out.extend(self.between(whole, fraction));
            self.position = match self.step {
                Some(step) => self.position + step,
                None => self.glide(fraction),
            };
        }
    }

    /// The position after one at `fraction`, on the way to a whole one.
    fn glide(&self, fraction: u64) -> u64 {
        let next = self.position + step_of(GLIDE_PPM);
        let wraps = fraction + (step_of(GLIDE_PPM) - ONE) >= ONE;
        if wraps { next - next % ONE } else { next }
    }

    fn between(&self, whole: usize, fraction: u64) -> [f32; CHANNELS] {
        if fraction == 0 {
            return [self.frames[whole * CHANNELS], self.frames[whole * CHANNELS + 1]];
        }
        let phase = fraction as f64 / ONE as f64 * PHASES as f64;
        let (row, part) = (phase as usize, phase.fract() as f32);
        let width = 2 * REACH;
        let (low, high) = (&self.kernels[row * width..], &self.kernels[(row + 1) * width..]);
        let mut sum = [0.0_f32; CHANNELS];
        for tap in 0..width {
            // The frames before the first one are silence.
            let Some(frame) = (whole + 1 + tap).checked_sub(REACH) else { continue };
            let weight = low[tap] + part * (high[tap] - low[tap]);
            sum[0] += weight * self.frames[frame * CHANNELS];
            sum[1] += weight * self.frames[frame * CHANNELS + 1];
        }
        sum
    }
}

fn step_of(ppm: f64) -> u64 {
    ONE.saturating_add_signed((ppm * 1e-6 * ONE as f64) as i64)
}

/// For each phase, the weights of the frames from [`REACH`] - 1 before the position to [`REACH`] after it.
fn kernels() -> Vec<f32> {
    let mut kernels = Vec::with_capacity((PHASES + 1) * 2 * REACH);
    for phase in 0..=PHASES {
        let fraction = phase as f64 / PHASES as f64;
        let row: Vec<f64> = (0..2 * REACH)
            .map(|tap| weight(tap as f64 - (REACH as f64 - 1.0) - fraction))
            .collect();
        // So that a constant stays what it is.
        let sum: f64 = row.iter().sum();
        kernels.extend(row.iter().map(|weight| (weight / sum) as f32));
    }
    kernels
}

/// The sinc at `x` frames from its middle, in a four-term Blackman-Harris window (Harris 1978, 92 dB).
fn weight(x: f64) -> f64 {
    let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    let turn = PI * x / REACH as f64;
    let window = 0.35875
        + 0.48829 * turn.cos()
        + 0.14128 * (2.0 * turn).cos()
        + 0.01168 * (3.0 * turn).cos();
    if x.abs() >= REACH as f64 { 0.0 } else { sinc * window }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, at: f64) -> f64 {
        (2.0 * PI * hz * at / 48_000.0).sin()
    }

    fn stereo(hz: f64, frames: std::ops::Range<usize>) -> Vec<f32> {
        frames.flat_map(|frame| [sine(hz, frame as f64) as f32, 0.25]).collect()
    }

    #[test]
    fn a_stream_at_its_own_pace_is_untouched() {
        let mut speed = Varispeed::default();
        let (input, mut out) = (stereo(997.0, 0..5_000), Vec::new());
        for piece in input.chunks(2 * 333) {
            assert!(speed.read(piece, &mut out));
        }
        assert_eq!(out, input);
    }

    #[test]
    fn it_glides_into_another_pace_and_back_without_a_seam() {
        for hz in [997.0, 9_000.0, 18_000.0] {
            let mut speed = Varispeed::default();
            let (input, mut out, mut at) = (stereo(hz, 0..96_000), Vec::new(), Vec::new());
            for (number, piece) in input.chunks(2 * 480).enumerate() {
                speed.set_pace((50..100).contains(&number).then_some(400.0));
                let before = out.len() / 2;
                speed.read(piece, &mut out);
                at.push(before);
            }
            let heard: Vec<f64> = out.iter().step_by(2).map(|v| f64::from(*v)).collect();
            // Where each frame was read, as the paces say.
            let mut position = 0.0_f64;
            let (mut worst, mut gliding) = (0.0_f64, true);
            let start = at[50];
            for (frame, value) in heard.iter().enumerate() {
                worst = worst.max((value - sine(hz, position)).abs());
                let ppm = if frame < start {
                    0.0
                } else if frame < at[100] {
                    400.0
                } else if gliding {
                    100.0
                } else {
                    0.0
                };
                let next = position + 1.0 + ppm * 1e-6;
                let crosses = ppm == 100.0 && next.fract() < position.fract();
                gliding &= !crosses;
                position = if crosses { next.floor() } else { next };
            }
            assert!(worst < 3e-4, "{hz} Hz: {worst}");
            assert!(out.iter().skip(1).step_by(2).skip(50).all(|v| (v - 0.25).abs() < 1e-4));
            // Whole again: the last frames are those of the input.
            assert_eq!(out[out.len() - 2_000..], input[input.len() - 2_000..]);
        }
    }

    #[test]
    fn as_much_comes_out_as_the_pace_says() {
        for (ppm, frames) in [(500.0, 479_760), (-500.0, 480_240)] {
            let mut speed = Varispeed::default();
            let mut out = Vec::new();
            speed.set_pace(Some(ppm));
            for _ in 0..480 {
                speed.read(&[0.1; 2_000], &mut out);
            }
            speed.finish(&mut out);
            assert!((out.len() as i64 / 2 - frames).abs() <= 1, "{} frames", out.len() / 2);
        }
    }
}
