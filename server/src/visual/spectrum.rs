//! How loud a short stretch of sound is, in all and at each frequency.
//!
//! Source: A-weighting as in IEC 61672-1, annex E; the mel scale as in O'Shaughnessy, "Speech Communication" (1987).

use std::f32::consts::PI;
use std::sync::Arc;

use protocol::message::{Scale, SpectrumShape};
use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use crate::source::{CHANNELS, RATE_HZ};

/// Frames that are looked at together: 43 ms, which tells bass notes apart and is short for the eye.
pub(crate) const WINDOW: usize = 2_048;

/// Frequencies that are told apart.
const BINS: usize = WINDOW / 2 + 1;

/// Bytes of a spectrum as an origin passes it on.
pub(crate) const SPECTRUM_BYTES: usize = 2 * BINS;

/// Distance of two frequencies that are told apart, Hz.
const BIN_HZ: f32 = RATE_HZ as f32 / WINDOW as f32;

/// Level that is 0 on the wire, dB below a sine of full scale (wire reference 3.5).
const SILENCE_DB: f32 = -60.0;

/// Most bands of a spectrum.
const BANDS_MAX: u32 = 256;

/// Lowest and highest frequency that a band may have, Hz: what people hear.
const LOWEST_HZ: u32 = 20;
const HIGHEST_HZ: u32 = RATE_HZ / 2;

/// How loud a stretch is. A sine of full scale at 1 kHz has 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spectrum {
    /// A-weighted power at each multiple of [`BIN_HZ`], as exact as it can be passed on: see [`code`].
    power: Box<[f32]>,
}

impl Spectrum {
    /// How loud it is in all.
    pub(crate) fn loudness(&self) -> u16 {
        level(self.power.iter().sum())
    }

    /// The strongest frequency, Hz, and its level.
    pub(crate) fn peak(&self) -> (u16, u16) {
        let Some(inner) = self.power.len().checked_sub(2) else { return (0, 0) };
        let strongest =
            (1..=inner).max_by(|&one, &other| self.power[one].total_cmp(&self.power[other]));
        let Some(mut at) = strongest else { return (0, 0) };
        let amplitude = level(self.power[at - 1..=at + 1].iter().sum());
        if amplitude == 0 {
            return (0, 0);
        }
        // The ear's weights lean so much at low frequencies that they would move the top.
        let plain = |bin: usize| self.power[bin].max(1e-20) / a_weight(bin.max(1) as f32 * BIN_HZ);
        while at > 1 && plain(at - 1) > plain(at) {
            at -= 1;
        }
        // A window's peak is nearly a parabola in decibels: Smith, "Spectral Audio Signal Processing", "Quadratic
        // Interpolation of Spectral Peaks".
        let [before, here, after] = [at - 1, at, at + 1].map(|bin| plain(bin).ln());
        let bend = before - 2.0 * here + after;
        let off = if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-1.0, 1.0) } else { 0.0 };
        (((at as f32 + off) * BIN_HZ).round() as u16, amplitude)
    }

    /// As it is passed on to edges: a [`code`] for each frequency.
    #[cfg(feature = "cluster")]
    pub(crate) fn encode(&self) -> impl Iterator<Item = u8> {
        self.power.iter().flat_map(|&power| code(power).to_be_bytes())
    }

    /// Reads what [`Spectrum::encode`] made. `None` for anything of another length.
    #[cfg(feature = "cluster")]
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (codes, []) = bytes.as_chunks() else { return None };
        let power: Box<[f32]> = codes.iter().map(|&code| power(u16::from_be_bytes(code))).collect();
        (power.len() == BINS).then_some(Self { power })
    }

    /// The levels of the bands of `shape`, as they go on the wire.
    pub(crate) fn bands(&self, shape: SpectrumShape) -> Vec<u8> {
        let edges = edges(shape);
        let levels = edges.windows(2).map(|edge| level(self.between(edge[0], edge[1])));
        levels.flat_map(u16::to_be_bytes).collect()
    }

    /// The power between two frequencies. A part of a bin has that part of its power.
    fn between(&self, from_hz: f32, to_hz: f32) -> f32 {
        let [from, to] =
            [from_hz, to_hz].map(|hz| (hz / BIN_HZ + 0.5).clamp(0.0, self.power.len() as f32));
        let (first, last) = (from as usize, (to.ceil() as usize).min(self.power.len()));
        let parts = self.power.iter().enumerate().take(last).skip(first);
        parts
            .map(|(bin, power)| {
                let share = to.min((bin + 1) as f32) - from.max(bin as f32);
                power * share.max(0.0)
            })
            .sum()
    }
}

/// The shape nearest to what is asked for that is made.
pub(crate) fn nearest(shape: SpectrumShape) -> SpectrumShape {
    let f_max = shape.f_max.clamp(2 * LOWEST_HZ, HIGHEST_HZ);
    SpectrumShape {
        n_disp_bins: shape.n_disp_bins.clamp(1, BANDS_MAX),
        f_min: shape.f_min.clamp(LOWEST_HZ, f_max / 2),
        f_max,
        scale: shape.scale,
    }
}

/// Where bands begin, Hz, and where the last ends.
fn edges(shape: SpectrumShape) -> Vec<f32> {
    let SpectrumShape { n_disp_bins, scale, f_min, f_max } = nearest(shape);
    let on_scale = |hz: f32| match scale {
        Scale::Mel => 2_595.0 * (1.0 + hz / 700.0).log10(),
        Scale::Log => hz.ln(),
        Scale::Lin => hz,
    };
    let in_hz = |place: f32| match scale {
        Scale::Mel => 700.0 * (10_f32.powf(place / 2_595.0) - 1.0),
        Scale::Log => place.exp(),
        Scale::Lin => place,
    };
    let (low, high) = (on_scale(f_min as f32), on_scale(f_max as f32));
    let place = |edge: u32| low + (high - low) * edge as f32 / n_disp_bins as f32;
    (0..=n_disp_bins).map(|edge| in_hz(place(edge))).collect()
}

/// Bits of a power's fraction that are not passed on, and the smallest power that is, 2⁻⁶³, in what is left of its bits.
const CODE_SHIFT: u32 = 14;
const CODE_FIRST: u32 = (127 - 63) << (23 - CODE_SHIFT);

/// A power in two bytes: a floating-point number (IEEE 754) of seven bits of exponent and nine of fraction, which is exact to
/// 0.1 %, four thousandths of a decibel. No power is 0.
fn code(power: f32) -> u16 {
    // The first bit that is cut off rounds.
    let bits = (power.max(0.0).to_bits() + (1 << (CODE_SHIFT - 1))) >> CODE_SHIFT;
    bits.saturating_sub(CODE_FIRST).min(u32::from(u16::MAX)) as u16
}

/// The power of a [`code`].
fn power(code: u16) -> f32 {
    if code == 0 { 0.0 } else { f32::from_bits((u32::from(code) + CODE_FIRST) << CODE_SHIFT) }
}

/// A power on the wire's scale: 65535 is a sine of full scale and more, 0 is [`SILENCE_DB`] and less.
fn level(power: f32) -> u16 {
    if power <= 0.0 {
        return 0;
    }
    let part = 1.0 - 10.0 * power.log10() / SILENCE_DB;
    (part.clamp(0.0, 1.0) * f32::from(u16::MAX)).round() as u16
}

/// How much of the power at a frequency the ear takes for loud: 1 at 1 kHz.
fn a_weight(hz: f32) -> f32 {
    let f2 = hz * hz;
    let [low, second, third, high] = [20.6_f32, 107.7, 737.9, 12_194.0].map(|hz| hz * hz);
    let gain = high * f2 * f2 / ((f2 + low) * ((f2 + second) * (f2 + third)).sqrt() * (f2 + high));
    // Two decibels, so that it is 1 at 1 kHz.
    (gain * 1.258_9).powi(2)
}

/// Makes spectra.
pub(crate) struct Prism {
    transform: Arc<dyn RealToComplex<f32>>,
    window: Box<[f32]>,
    /// What the power of each bin is multiplied with.
    weights: Box<[f32]>,
    input: Vec<f32>,
    output: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Prism {
    /// One for [`WINDOW`] frames.
    pub(crate) fn new() -> Self {
        let transform = RealFftPlanner::<f32>::new().plan_fft_forward(WINDOW);
        let window: Box<[f32]> = hann(WINDOW).collect();
        let energy: f32 = window.iter().map(|part| part * part).sum();
        // So that the bins of a sine of full scale, whose mean square is a half, add up to 1; and the mean of the channels.
        let scale = 4.0 / (WINDOW as f32 * energy) / CHANNELS as f32;
        let weights = (0..=WINDOW / 2).map(|bin| scale * a_weight(bin as f32 * BIN_HZ)).collect();
        Self {
            input: transform.make_input_vec(),
            output: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            transform,
            window,
            weights,
        }
    }

    /// The spectrum of [`WINDOW`] frames, left and right in turn.
    ///
    /// Each channel has its own: what is opposite in them is as loud as what is alike.
    pub(crate) fn split(&mut self, stereo: &[f32]) -> Spectrum {
        let mut power = vec![0.0; self.weights.len()].into_boxed_slice();
        for channel in 0..CHANNELS {
            let frames = stereo.iter().skip(channel).step_by(CHANNELS);
            for ((input, sample), window) in self.input.iter_mut().zip(frames).zip(&self.window) {
                *input = sample * window;
            }
            let (input, output) = (&mut self.input, &mut self.output);
            // Fails for vectors of a wrong length alone, and these are the transform's own.
            let done = self.transform.process_with_scratch(input, output, &mut self.scratch);
            debug_assert!(done.is_ok());
            for ((power, bin), weight) in power.iter_mut().zip(&self.output).zip(&self.weights) {
                *power += bin.norm_sqr() * weight;
            }
        }
        // Everybody gets the same figures, at the origin as at an edge.
        power.iter_mut().for_each(|it| *it = self::power(code(*it)));
        Spectrum { power }
    }
}

/// A window that is nothing at its ends.
pub(super) fn hann(frames: usize) -> impl Iterator<Item = f32> {
    (0..frames).map(move |frame| (PI * frame as f32 / frames as f32).sin().powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, amplitude: f32) -> Spectrum {
        let sample =
            |frame: usize| amplitude * (2.0 * PI * hz * frame as f32 / RATE_HZ as f32).sin();
        let stereo: Vec<f32> =
            (0..WINDOW).flat_map(|frame| [sample(frame), -sample(frame)]).collect();
        Prism::new().split(&stereo)
    }

    fn decibels(level: u16) -> f32 {
        SILENCE_DB * (1.0 - f32::from(level) / f32::from(u16::MAX))
    }

    #[test]
    fn levels_are_decibels() {
        for (amplitude, expected) in [(1.0, 0.0), (0.5, -6.02), (0.1, -20.0), (0.01, -40.0)] {
            let spectrum = sine(1_000.0, amplitude);
            assert!((decibels(spectrum.loudness()) - expected).abs() < 0.2, "{amplitude}");
            assert!((decibels(spectrum.peak().1) - expected).abs() < 0.2, "{amplitude}");
        }
        assert_eq!(sine(1_000.0, 0.000_9).loudness(), 0);
        assert_eq!((sine(1_000.0, 0.0).loudness(), sine(1_000.0, 0.0).peak()), (0, (0, 0)));
        assert_eq!(sine(1_000.0, 8.0).loudness(), u16::MAX);
    }

    /// Values of IEC 61672-1, table 3.
    #[test]
    fn the_ear_is_as_the_standard_has_it() {
        for (hz, expected) in [(100.0, -19.1), (1_000.0, 0.0), (2_500.0, 1.3), (10_000.0, -2.5)] {
            let weight = 10.0 * a_weight(hz).log10();
            assert!((weight - expected).abs() < 0.1, "{hz} Hz: {weight}");
        }
        let level = decibels(sine(100.0, 1.0).loudness());
        assert!((level + 19.1).abs() < 0.6, "{level}");
    }

    #[test]
    fn the_strongest_frequency_is_found_between_the_bins() {
        for hz in [55.0, 110.0, 441.0, 1_234.0, 9_876.0] {
            let (found, _) = sine(hz, 0.3).peak();
            assert!((f32::from(found) - hz).abs() < 4.0, "{hz}: {found}");
        }
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn an_edge_gets_the_same_spectrum() {
        for spectrum in [sine(441.0, 0.3), sine(1_000.0, 8.0), sine(1_000.0, 0.0)] {
            let bytes: Vec<u8> = spectrum.encode().collect();
            assert_eq!(bytes.len(), SPECTRUM_BYTES);
            assert_eq!(Spectrum::decode(&bytes), Some(spectrum));
            assert_eq!(Spectrum::decode(&bytes[2..]), None);
            assert_eq!(Spectrum::decode(&bytes[1..]), None);
        }
        // Whatever comes is a power.
        let loudest = Spectrum::decode(&[0xff; SPECTRUM_BYTES]).unwrap();
        assert_eq!(loudest.loudness(), u16::MAX);
        assert!((0..=u16::MAX).all(|it| power(it).is_finite() && code(power(it)) == it));
        assert_eq!([f32::NAN, -1.0, 1e-30, f32::INFINITY].map(code), [0, 0, 0, u16::MAX]);
        for exact in [1e-12_f32, 1e-3, 0.7, 1.0, 42.0] {
            assert!((power(code(exact)) / exact - 1.0).abs() < 1.0 / 1_000.0, "{exact}");
        }
    }

    #[test]
    fn a_sine_lands_in_its_band() {
        for scale in [Scale::Mel, Scale::Log, Scale::Lin] {
            let shape = SpectrumShape { n_disp_bins: 24, scale, f_min: 40, f_max: 16_000 };
            let edges = edges(shape);
            assert!((edges[0] - 40.0).abs() < 0.1 && (edges[24] - 16_000.0).abs() < 10.0);
            for hz in [300.0, 1_000.0, 3_000.0, 12_345.0] {
                let bands = sine(hz, 0.5).bands(shape);
                let levels: Vec<u16> =
                    bands.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                assert_eq!(levels.len(), 24);
                let loudest = (0..24).max_by_key(|&band| levels[band]).unwrap();
                let is_there = edges[loudest] - BIN_HZ <= hz && hz <= edges[loudest + 1] + BIN_HZ;
                assert!(is_there, "{scale:?} {hz}: {loudest}");
            }
        }
    }

    #[test]
    fn what_cannot_be_made_becomes_what_can() {
        let shape = |n_disp_bins, f_min, f_max| {
            let made = nearest(SpectrumShape { n_disp_bins, scale: Scale::Log, f_min, f_max });
            (made.n_disp_bins, made.f_min, made.f_max)
        };
        assert_eq!(shape(32, 40, 16_000), (32, 40, 16_000));
        assert_eq!(shape(0, 0, 0), (1, 20, 40));
        assert_eq!(shape(u32::MAX, u32::MAX, u32::MAX), (256, 12_000, 24_000));
    }
}
