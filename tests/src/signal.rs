//! Test sounds whose position can be read from the sound, and the means to read it.
//!
//! Noise that never repeats within a file is its own position mark: a window of a few hundred
//! milliseconds correlates with the file at one place only.

use std::path::Path;

use anyhow::{Context, Result};
use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

/// Frames per second of every test sound: the server's own rate, so that it passes samples unchanged.
pub const RATE_HZ: u32 = 48_000;

/// Interleaved 16-bit stereo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stereo16 {
    /// Left, right, left, right.
    pub samples: Vec<i16>,
}

impl Stereo16 {
    /// White noise, different left and right, the same for the same `seed`.
    #[must_use]
    pub fn noise(frames: usize, seed: u64) -> Self {
        let mut random = SplitMix(seed);
        let samples = (0..frames * 2).map(|_| (random.unit() * 20_000.0) as i16).collect();
        Self { samples }
    }

    /// Noise between about 200 Hz and 6 kHz that has no seam where it loops.
    ///
    /// White noise is convolved around the end of the file with a band-pass, so its last frame is
    /// followed by its first as by any other. Left and right are different.
    #[must_use]
    pub fn band_limited_noise(frames: usize, seed: u64) -> Self {
        let mut random = SplitMix(seed);
        let [left, right] = [(); 2].map(|()| {
            let white: Vec<f32> = (0..frames).map(|_| random.unit() as f32).collect();
            in_band(&white)
        });
        let peak = left.iter().chain(&right).fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let scale = 20_000.0 / peak.max(f32::MIN_POSITIVE);
        let samples = left
            .iter()
            .zip(&right)
            .flat_map(|(left, right)| [left * scale, right * scale])
            .map(|sample| sample.round() as i16)
            .collect();
        Self { samples }
    }

    /// Frames in the sound.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples.len() / 2
    }

    /// The sound as little-endian bytes, as the wire and a WAV file carry it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    /// One channel, 0 left, 1 right, full scale at 1.0.
    #[must_use]
    pub fn channel(&self, channel: usize) -> Vec<f32> {
        let channel = self.samples.iter().skip(channel).step_by(2);
        channel.map(|&sample| f32::from(sample) / 32_768.0).collect()
    }

    /// The sound as a WAV file.
    #[must_use]
    pub fn wav(&self) -> Vec<u8> {
        let audio = self.bytes();
        let mut file = wav_header(u32::try_from(audio.len()).unwrap_or(u32::MAX));
        file.extend_from_slice(&audio);
        file
    }

    /// Writes the sound as a WAV file.
    ///
    /// # Errors
    ///
    /// When the system cannot write there.
    pub fn write_wav(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.wav()).with_context(|| path.display().to_string())
    }
}

/// The 44 bytes before `data_bytes` of 16-bit stereo at [`RATE_HZ`].
///
/// Source: "Multimedia Programming Interface and Data Specifications 1.0" (1991), Waveform Audio File
/// Format.
#[must_use]
pub fn wav_header(data_bytes: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(44);
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(&data_bytes.saturating_add(36).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt ");
    header.extend_from_slice(&16_u32.to_le_bytes());
    header.extend_from_slice(&1_u16.to_le_bytes());
    header.extend_from_slice(&2_u16.to_le_bytes());
    header.extend_from_slice(&RATE_HZ.to_le_bytes());
    header.extend_from_slice(&(RATE_HZ * 4).to_le_bytes());
    header.extend_from_slice(&4_u16.to_le_bytes());
    header.extend_from_slice(&16_u16.to_le_bytes());
    header.extend_from_slice(b"data");
    header.extend_from_slice(&data_bytes.to_le_bytes());
    header
}

/// Where a piece lies in a looped sound.
#[derive(Clone, Copy, Debug)]
pub struct Match {
    /// Position in the sound of the first sample of the piece, in frames, with its fraction.
    pub position: f64,
    /// Normalised correlation at that position, 1.0 when they are the same but for loudness.
    pub correlation: f64,
}

/// One channel of a sound that goes round and round, ready to find pieces in it.
///
/// It must have next to nothing above a quarter of its rate, as [`Stereo16::band_limited_noise`] has.
pub struct Reference {
    samples: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
}

impl Reference {
    /// The sound at its own rate.
    #[must_use]
    pub fn new(samples: Vec<f32>) -> Self {
        let spectrum = spectrum(&samples);
        Self { samples, spectrum }
    }

    /// The same sound at `rate_hz` frames per second. Exact, since the sound is periodic and band-limited.
    ///
    /// Returns `None` when one round of it would not be a whole number of frames.
    #[must_use]
    pub fn at_rate(&self, rate_hz: u32) -> Option<Self> {
        let scaled = self.samples.len() * rate_hz as usize;
        let frames = scaled / RATE_HZ as usize;
        if !scaled.is_multiple_of(RATE_HZ as usize) {
            return None;
        }
        let mut bins = self.spectrum.clone();
        bins.resize(frames / 2 + 1, Complex::new(0.0, 0.0));
        let gain = frames as f32 / self.samples.len() as f32;
        for bin in &mut bins {
            *bin *= gain;
        }
        Some(Self::new(inverse(frames, bins)))
    }

    /// Frames in one round.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples.len()
    }

    /// Finds `heard`.
    ///
    /// The whole-frame position is the peak of the circular cross-correlation; its fraction is found by
    /// comparing with the sound shifted by fractions of a frame.
    ///
    /// Returns `None` when `heard` is empty, silent or longer than one round.
    #[must_use]
    pub fn locate(&self, heard: &[f32]) -> Option<Match> {
        if heard.is_empty() || heard.len() > self.frames() || energy(heard) == 0.0 {
            return None;
        }
        let peaks = self.correlate(heard);
        let at = (0..peaks.len()).max_by(|&a, &b| peaks[a].total_cmp(&peaks[b]))?;
        let score = |position: f64| correlation(heard, &self.window(position, heard.len()));
        let mut best = (at as f64, score(at as f64));
        let mut step = 0.5;
        while step > 0.001 {
            for candidate in [best.0 - step, best.0 + step] {
                let scored = score(candidate);
                if scored > best.1 {
                    best = (candidate, scored);
                }
            }
            step /= 2.0;
        }
        Some(Match { position: best.0.rem_euclid(self.frames() as f64), correlation: best.1 })
    }

    /// The `frames` frames from `position` on, a fraction of a frame included.
    #[must_use]
    pub fn window(&self, position: f64, frames: usize) -> Vec<f32> {
        let whole = position.floor();
        let taps = fractional_delay(position - whole);
        let length = self.samples.len() as i64;
        let start = whole as i64 - TAPS_HALF + 1;
        (0..frames as i64)
            .map(|frame| {
                let taps = taps.iter().zip(start + frame..);
                taps.map(|(tap, at)| tap * self.samples[at.rem_euclid(length) as usize]).sum()
            })
            .collect()
    }

    /// Correlation with `heard` at every whole-frame position.
    fn correlate(&self, heard: &[f32]) -> Vec<f32> {
        let mut padded = heard.to_vec();
        padded.resize(self.frames(), 0.0);
        let heard = spectrum(&padded);
        let product = self.spectrum.iter().zip(&heard).map(|(sound, heard)| sound * heard.conj());
        inverse(self.frames(), product.collect())
    }
}

/// Half the length of the interpolation filter: its error below a quarter of the rate is under -80 dB.
const TAPS_HALF: i64 = 16;

/// A sinc under a Blackman window, for the value `fraction` of a frame after tap `TAPS_HALF - 1`.
fn fractional_delay(fraction: f64) -> Vec<f32> {
    (0..2 * TAPS_HALF)
        .map(|tap| {
            let x = (tap - TAPS_HALF + 1) as f64 - fraction;
            let phase = std::f64::consts::PI * x;
            let sinc = if x == 0.0 { 1.0 } else { phase.sin() / phase };
            let turn = phase / TAPS_HALF as f64;
            (sinc * (0.42 + 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())) as f32
        })
        .collect()
}

/// Normalised correlation of two signals of one length: 1.0 when they are the same but for loudness,
/// 0.0 when one of them is silent.
#[must_use]
pub fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let product: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    let scale = (energy(a) * energy(b)).sqrt();
    if scale == 0.0 { 0.0 } else { product / scale }
}

/// Root of the mean square.
#[must_use]
pub fn rms(signal: &[f32]) -> f64 {
    (energy(signal) / signal.len().max(1) as f64).sqrt()
}

fn energy(signal: &[f32]) -> f64 {
    signal.iter().map(|&sample| f64::from(sample).powi(2)).sum()
}

fn spectrum(samples: &[f32]) -> Vec<Complex<f32>> {
    let forward = RealFftPlanner::<f32>::new().plan_fft_forward(samples.len());
    let mut bins = forward.make_output_vec();
    let mut input = samples.to_vec();
    forward.process(&mut input, &mut bins).expect("buffers of the plan's own sizes");
    bins
}

/// Back to samples. The bins at 0 Hz and at half the rate must be real; what turning left there is noise
/// below the sound's own resolution.
fn inverse(frames: usize, mut bins: Vec<Complex<f32>>) -> Vec<f32> {
    let plan = RealFftPlanner::<f32>::new().plan_fft_inverse(frames);
    if let Some(first) = bins.first_mut() {
        first.im = 0.0;
    }
    if frames.is_multiple_of(2)
        && let Some(last) = bins.last_mut()
    {
        last.im = 0.0;
    }
    let mut output = plan.make_output_vec();
    plan.process(&mut bins, &mut output).expect("buffers of the plan's own sizes");
    let scale = 1.0 / frames as f32;
    for sample in &mut output {
        *sample *= scale;
    }
    output
}

/// `white` without what lies outside 200 Hz to 6 kHz, filtered around its end.
fn in_band(white: &[f32]) -> Vec<f32> {
    let mut bins = spectrum(white);
    let hz_per_bin = f64::from(RATE_HZ) / white.len() as f64;
    for (bin, value) in bins.iter_mut().enumerate() {
        let hz = bin as f64 * hz_per_bin;
        if !(200.0..=6_000.0).contains(&hz) {
            *value = Complex::new(0.0, 0.0);
        }
    }
    inverse(white.len(), bins)
}

/// `SplitMix64` (Steele, Lea, Flood, 2014): small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in -1.0 to 1.0.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second and a third, a whole number of frames at 44.1 kHz as well.
    fn sound() -> Stereo16 {
        Stereo16::band_limited_noise(64_000, 7)
    }

    #[test]
    fn a_window_across_the_loop_point_is_found_to_a_hundredth_of_a_frame() {
        let reference = Reference::new(sound().channel(0));
        let heard = reference.window(62_000.375, 6_000);
        let found = reference.locate(&heard).unwrap();
        assert!((found.position - 62_000.375).abs() < 0.01, "{found:?}");
        assert!(found.correlation > 0.9999, "{found:?}");
    }

    #[test]
    fn a_skipped_frame_a_repeated_block_and_silence_do_not_pass_for_the_sound() {
        let reference = Reference::new(sound().channel(0));
        let mut skipped = reference.window(1_000.0, 6_001);
        skipped.remove(3_000);
        assert!(reference.locate(&skipped).unwrap().correlation < 0.99);
        let mut repeated = reference.window(1_000.0, 6_000);
        repeated.copy_within(3_000..3_128, 3_128);
        assert!(reference.locate(&repeated).unwrap().correlation < 0.99);
        assert!(reference.locate(&vec![0.0; 6_000]).is_none());
    }

    #[test]
    fn the_two_channels_are_told_apart() {
        let left = sound().channel(0);
        let found = Reference::new(sound().channel(1)).locate(&left[..6_000]).unwrap();
        assert!(found.correlation < 0.2, "{found:?}");
    }

    #[test]
    fn another_rate_is_the_same_sound() {
        let reference = Reference::new(sound().channel(0));
        let slow = reference.at_rate(44_100).unwrap();
        assert_eq!(slow.frames(), 58_800);
        // Every 147th frame at 44.1 kHz is every 160th at 48 kHz.
        for step in [0, 1, 17, 399] {
            let difference = slow.samples[step * 147] - reference.samples[step * 160];
            assert!(difference.abs() < 1e-4, "{difference} after {step} steps");
        }
        assert!(reference.at_rate(44_101).is_none());
    }
}
