//! Reads a stream at fractional positions: one windowed sinc for rate conversion and for drift alike.
//!
//! A constant-quality filter, always on. (Linear interpolation is a low-pass that depends on the phase:
//! at half a sample it takes 6 dB at 16 kHz, so a slow drift would be heard as treble that breathes.)
//!
//! May run inside an audio deadline: [`Kernel::frame`] does not allocate, free, lock or log. The table is
//! built in [`Kernel::new`].
//!
//! Source: band-limited interpolation, J. O. Smith, "Digital Audio Resampling Home Page": a Kaiser-windowed
//! sinc, tabulated, with linear interpolation between neighbouring phases.

use std::f64::consts::PI;

use crate::jitter_buffer::Frame;

/// Stream frames that one output frame is made of. With the window below, the transition band is 10 kHz
/// wide around the Nyquist frequency of 48 kHz: flat to 18 kHz, and images begin to pass above 19 kHz only
/// to land above 29 kHz.
pub const TAPS: usize = 32;
/// Stream frames before the position that the filter looks at.
pub const TAPS_BEFORE: usize = TAPS / 2 - 1;
/// Stream frames from the position on that the filter looks at.
pub const TAPS_AFTER: usize = TAPS - TAPS_BEFORE;
/// Tabulated positions between two frames. Linear interpolation between them errs by less than
/// (π / 512)² / 8 of full scale at the highest frequency, -106 dB.
const PHASES: usize = 512;
/// Shape of the window: stop band at -100 dB (Kaiser's formula).
const KAISER_BETA: f64 = 10.0;

/// The filter for one pair of rates.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `PHASES + 1` rows of taps; row `p` serves positions `p / PHASES` after a frame.
    rows: Vec<[f32; TAPS]>,
}

impl Kernel {
    /// Tabulates the filter for a stream of `stream_hz` on an output of `output_hz` (0 counts as 1).
    ///
    /// Where the output is slower than the stream, the filter cuts off at the output's Nyquist frequency.
    #[must_use]
    pub fn new(stream_hz: u32, output_hz: u32) -> Self {
        let cutoff = (f64::from(output_hz.max(1)) / f64::from(stream_hz.max(1))).min(1.0);
        let rows = (0..=PHASES).map(|phase| row(phase as f64 / PHASES as f64, cutoff)).collect();
        Self { rows }
    }

    /// The stream's value at `fraction` (0.0 to 1.0) after frame `TAPS_BEFORE` of `window`.
    ///
    /// At fraction 0 and equal rates it is that frame, bit for bit.
    #[must_use]
    pub fn frame(&self, window: &[Frame; TAPS], fraction: f64) -> Frame {
        let phase = fraction.clamp(0.0, 1.0) * PHASES as f64;
        let row = (phase as usize).min(PHASES - 1);
        let blend = (phase - row as f64) as f32;
        let (this, next) = (&self.rows[row], &self.rows[row + 1]);
        // Four independent sums: a single one would make every tap wait for the last.
        let mut sums = [[0.0_f32; 2]; 4];
        for tap in (0..TAPS).step_by(4) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let weight = this[tap + lane] + blend * (next[tap + lane] - this[tap + lane]);
                sum[0] += weight * window[tap + lane][0];
                sum[1] += weight * window[tap + lane][1];
            }
        }
        let [a, b, c, d] = sums;
        [a[0] + b[0] + (c[0] + d[0]), a[1] + b[1] + (c[1] + d[1])]
    }
}

/// Taps for a position `fraction` after frame [`TAPS_BEFORE`], summing to one.
fn row(fraction: f64, cutoff: f64) -> [f32; TAPS] {
    let half = TAPS as f64 / 2.0;
    let taps: [f64; TAPS] = std::array::from_fn(|tap| {
        let distance = tap as f64 - TAPS_BEFORE as f64 - fraction;
        let window = 1.0 - (distance / half).powi(2);
        if window <= 0.0 {
            return 0.0;
        }
        sinc(cutoff * distance) * bessel_i0(KAISER_BETA * window.sqrt())
    });
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| (tap / sum) as f32)
}

/// Exact at integers, so that an unshifted stream passes bit for bit.
fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else if x.fract() == 0.0 {
        0.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// Modified Bessel function of the first kind, order zero, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a sine of `hz` at positions `i × ratio` and returns level and residual in dB, the residual
    /// being all that is not the sine.
    fn sine_through(kernel: &Kernel, hz: f64, ratio: f64) -> (f64, f64) {
        let stream_hz = 48_000.0;
        let omega = 2.0 * PI * hz / stream_hz;
        let count = 4_800;
        let read: Vec<f64> = (0..count)
            .map(|i| {
                let position = 100.0 + f64::from(i) * ratio;
                let base = position.floor();
                let window: [Frame; TAPS] = std::array::from_fn(|tap| {
                    let at = base + tap as f64 - TAPS_BEFORE as f64;
                    [(omega * at).sin() as f32, 0.0]
                });
                f64::from(kernel.frame(&window, position - base)[0])
            })
            .collect();
        // Least squares fit of sine and cosine at the known frequency.
        let (mut ss, mut sc, mut cc, mut xs, mut xc, mut power) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for (i, x) in read.iter().enumerate() {
            let phase = omega * (100.0 + i as f64 * ratio);
            let (s, c) = phase.sin_cos();
            ss += s * s;
            sc += s * c;
            cc += c * c;
            xs += x * s;
            xc += x * c;
            power += x * x;
        }
        let det = ss * cc - sc * sc;
        let a = (xs * cc - xc * sc) / det;
        let b = (xc * ss - xs * sc) / det;
        let explained = a * xs + b * xc;
        let level = 10.0 * (a * a + b * b).log10();
        let residual = 10.0 * ((power - explained).max(1e-30) / explained).log10();
        (level, residual)
    }

    #[test]
    fn an_unshifted_stream_passes_bit_for_bit() {
        let kernel = Kernel::new(48_000, 48_000);
        let window: [Frame; TAPS] =
            std::array::from_fn(|tap| [(tap as f32 * 0.37).sin(), (tap as f32 * 0.11).cos()]);
        assert_eq!(kernel.frame(&window, 0.0), window[TAPS_BEFORE]);
        assert_eq!(kernel.frame(&window, 1.0), window[TAPS_BEFORE + 1]);
    }

    #[test]
    fn distortion_at_1_khz_is_below_100_db() {
        let kernel = Kernel::new(48_000, 48_000);
        for ppm in [150.0, -150.0, 3_000.0] {
            let (level, residual) = sine_through(&kernel, 1_000.0, 1.0 + ppm * 1e-6);
            assert!(level.abs() < 0.001, "{ppm} ppm: level {level} dB");
            assert!(residual < -100.0, "{ppm} ppm: THD+N {residual} dB");
        }
    }

    #[test]
    fn the_pass_band_is_flat_to_18_khz() {
        let kernel = Kernel::new(48_000, 48_000);
        for hz in [50.0, 5_000.0, 10_000.0, 15_000.0, 18_000.0] {
            let (level, residual) = sine_through(&kernel, hz, 1.0 + 150e-6);
            assert!(level.abs() < 0.1, "{hz} Hz: level {level} dB");
            assert!(residual < -80.0, "{hz} Hz: residual {residual} dB");
        }
    }

    #[test]
    fn a_44100_hz_output_keeps_the_band_and_the_level() {
        let kernel = Kernel::new(48_000, 44_100);
        for hz in [100.0, 1_000.0, 10_000.0, 16_000.0] {
            let (level, residual) = sine_through(&kernel, hz, 48_000.0 / 44_100.0);
            assert!(level.abs() < 0.1, "{hz} Hz: level {level} dB");
            assert!(residual < -90.0, "{hz} Hz: residual {residual} dB");
        }
    }
}
