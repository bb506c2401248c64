//! When something sets in: how much louder each band has become within a few milliseconds.
//!
//! Source: spectral flux of compressed magnitudes, as in Bello et al., "A Tutorial on Onset Detection in Music Signals"
//! (2005), and Klapuri, "Sound Onset Detection by Applying Psychoacoustic Knowledge" (1999).

use std::collections::VecDeque;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use super::spectrum::hann;
use crate::source::{CHANNELS, RATE_HZ};

/// Frames between two looks, 5 ms: half of what people can tell apart.
pub(super) const HOP: usize = 240;

/// Looks in a second.
pub(super) const RATE: usize = RATE_HZ as usize / HOP;

/// Frames that are looked at together.
pub(super) const WINDOW: usize = 512;

/// How long before the end of the window that shows it first something sets in, frames. A window is deaf near its end;
/// this is the mean over all places of an onset between two looks.
pub(super) const LATENESS: i64 = 160;

/// Bands, about as wide as the ear's from 400 Hz on.
const BANDS: usize = 20;

/// How far quiet sounds are raised against loud ones.
const COMPRESSION: f32 = 1_000.0;

/// Looks on each side than which an onset is stronger.
pub(super) const NEIGHBOURS: usize = 4;

/// How long the mean is that an onset stands out of, looks.
const MEAN_LOOKS: usize = RATE;

/// How far it stands out, and the least it has to be: the sum of what [`BANDS`] bands gain, in powers of e.
const OUTSTANDING: f32 = 2.5;
const STRENGTH_MIN: f32 = 3.0;

/// The strength that is full.
const STRENGTH_FULL: f32 = BANDS as f32 * 4.0;

/// Turns sound into how strongly something sets in.
pub(super) struct Onsets {
    transform: Arc<dyn RealToComplex<f32>>,
    window: Box<[f32]>,
    input: Vec<f32>,
    output: Vec<Complex32>,
    scratch: Vec<Complex32>,
    before: Option<[f32; BANDS]>,
    /// The last strengths, the newest at the end.
    strengths: VecDeque<f32>,
    sum: f32,
}

impl Onsets {
    pub(super) fn new() -> Self {
        let transform = RealFftPlanner::<f32>::new().plan_fft_forward(WINDOW);
        Self {
            window: hann(WINDOW).collect(),
            input: transform.make_input_vec(),
            output: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            transform,
            before: None,
            strengths: VecDeque::new(),
            sum: 0.0,
        }
    }

    /// Forgets what was heard.
    pub(super) fn reset(&mut self) {
        self.before = None;
        self.strengths.clear();
        self.sum = 0.0;
    }

    /// How strongly something sets in at the end of these [`WINDOW`] frames, and whether it did [`NEIGHBOURS`] looks ago.
    pub(super) fn look(&mut self, stereo: &[f32]) -> (f32, Option<u8>) {
        let bands = self.bands(stereo);
        let strength = self.before.map_or(0.0, |before| {
            bands.iter().zip(before).map(|(now, before)| (now - before).max(0.0)).sum()
        });
        self.before = Some(bands);
        self.strengths.push_back(strength);
        self.sum += strength;
        if self.strengths.len() > MEAN_LOOKS {
            self.sum -= self.strengths.pop_front().unwrap_or(0.0);
        }
        (strength, self.peak())
    }

    /// The peak in the middle of the newest looks, if there is one, 1 to 255.
    fn peak(&self) -> Option<u8> {
        let newest = self.strengths.len().checked_sub(2 * NEIGHBOURS + 1)?;
        let around = self.strengths.range(newest..);
        let middle = self.strengths[newest + NEIGHBOURS];
        // Of equal ones, the first.
        let is_highest = around
            .enumerate()
            .all(|(at, &other)| if at < NEIGHBOURS { other < middle } else { other <= middle });
        let mean = self.sum / self.strengths.len() as f32;
        let is_peak = is_highest && middle > STRENGTH_MIN && middle > OUTSTANDING * mean;
        is_peak.then(|| (middle / STRENGTH_FULL * 255.0).clamp(1.0, 255.0) as u8)
    }

    /// How loud each band is, compressed.
    fn bands(&mut self, stereo: &[f32]) -> [f32; BANDS] {
        for ((input, frame), window) in
            self.input.iter_mut().zip(stereo.chunks_exact(CHANNELS)).zip(&self.window)
        {
            *input = frame.iter().sum::<f32>() / CHANNELS as f32 * window;
        }
        let (input, output) = (&mut self.input, &mut self.output);
        // Fails for vectors of a wrong length alone, and these are the transform's own.
        let done = self.transform.process_with_scratch(input, output, &mut self.scratch);
        debug_assert!(done.is_ok());
        let mut bands = [0.0; BANDS];
        for (bin, value) in self.output.iter().enumerate().skip(1) {
            bands[band_of(bin)] += value.norm_sqr();
        }
        // A sine of full scale has a quarter of the window's length as its magnitude.
        bands.map(|power| (COMPRESSION * power.sqrt() / (WINDOW as f32 / 4.0)).ln_1p())
    }
}

/// The band of a bin: one for each up to the eighth, then wider and wider.
fn band_of(bin: usize) -> usize {
    const SINGLE: usize = 8;
    if bin <= SINGLE {
        return bin - 1;
    }
    let ratio = (bin as f32 / SINGLE as f32).log2() / (WINDOW as f32 / 2.0 / SINGLE as f32).log2();
    (SINGLE + (ratio * (BANDS - SINGLE) as f32) as usize).min(BANDS - 1)
}
