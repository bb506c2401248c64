//! From sound to figures, in the order of the frames that they describe.
//!
//! Pure: handed samples, it hands out what it found and at which frame.

use super::HOP;
use super::beats::{self, Beats};
use super::onsets::{self, Onsets};
use super::spectrum::{self, Prism, Spectrum};
use crate::source::CHANNELS;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    /// How loud it is, [`super::RATE_MAX`] times a second.
    Spectrum(Spectrum),
    /// Something sets in, this strongly, 1 to 255.
    Peak(u8),
    /// A beat.
    Beat,
}

/// A finding, and the frame that it describes, counted from the first since [`Analyser::reset`].
pub(crate) type Found = (i64, Finding);

/// How long findings are held back, frames: a beat that is looked for may have been so long ago, and nothing that describes
/// later sound goes before it.
const HOLD: i64 = ((2 * beats::TOLERANCE + 2) * onsets::HOP) as i64;

/// Listens.
pub(crate) struct Analyser {
    prism: Prism,
    onsets: Onsets,
    beats: Beats,
    /// The newest frames that are still needed, left and right in turn.
    samples: Vec<f32>,
    /// The frame that `samples` begins with.
    first: i64,
    /// Where the next windows end.
    spectrum_at: i64,
    onset_at: i64,
    /// In order.
    held: Vec<Found>,
}

impl Analyser {
    /// One that has heard nothing.
    pub(crate) fn new() -> Self {
        Self {
            prism: Prism::new(),
            onsets: Onsets::new(),
            beats: Beats::default(),
            samples: Vec::new(),
            first: 0,
            spectrum_at: spectrum::WINDOW as i64,
            onset_at: onsets::WINDOW as i64,
            held: Vec::new(),
        }
    }

    /// Forgets what it heard: other sound follows.
    pub(crate) fn reset(&mut self) {
        self.onsets.reset();
        self.beats.reset();
        self.samples.clear();
        self.held.clear();
        self.first = 0;
        self.spectrum_at = spectrum::WINDOW as i64;
        self.onset_at = onsets::WINDOW as i64;
    }

    /// Hears what follows, left and right in turn, and returns what is known now.
    pub(crate) fn hear(&mut self, stereo: &[f32]) -> Vec<Found> {
        self.samples.extend_from_slice(stereo);
        let end = self.first + (self.samples.len() / CHANNELS) as i64;
        while self.spectrum_at <= end {
            let window = slice(&self.samples, self.first, self.spectrum_at, spectrum::WINDOW);
            let spectrum = self.prism.split(window);
            let middle = self.spectrum_at - spectrum::WINDOW as i64 / 2;
            self.hold(middle, Finding::Spectrum(spectrum));
            self.spectrum_at += HOP as i64;
        }
        while self.onset_at <= end {
            let window = slice(&self.samples, self.first, self.onset_at, onsets::WINDOW);
            let (strength, peak) = self.onsets.look(window);
            if let Some(strength) = peak {
                let ago = (onsets::NEIGHBOURS * onsets::HOP) as i64;
                self.hold(self.onset_at - ago - onsets::LATENESS, Finding::Peak(strength));
            }
            if let Some(look) = self.beats.push(strength) {
                let heard = onsets::WINDOW as i64 + look as i64 * onsets::HOP as i64;
                self.hold(heard - onsets::LATENESS, Finding::Beat);
            }
            self.onset_at += onsets::HOP as i64;
        }
        let needed =
            (self.spectrum_at - spectrum::WINDOW as i64).min(self.onset_at - onsets::WINDOW as i64);
        let spent = usize::try_from(needed - self.first).unwrap_or(0) * CHANNELS;
        self.samples.drain(..spent.min(self.samples.len()));
        self.first = needed;
        let known = self.onset_at - HOLD - onsets::WINDOW as i64;
        let count = self.held.partition_point(|&(frame, _)| frame < known);
        self.held.drain(..count).collect()
    }

    fn hold(&mut self, frame: i64, finding: Finding) {
        let place = self.held.partition_point(|&(other, _)| other <= frame);
        self.held.insert(place, (frame, finding));
    }
}

/// The `window` frames before `end`.
fn slice(samples: &[f32], first: i64, end: i64, window: usize) -> &[f32] {
    let end = usize::try_from(end - first).unwrap_or(0) * CHANNELS;
    samples.get(end.saturating_sub(window * CHANNELS)..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::CHUNK_FRAMES;
    use crate::source::RATE_HZ;

    const SECOND: usize = RATE_HZ as usize;

    /// Everything that is found in `sound`, in the pieces in which it comes.
    fn found(sound: &[f32]) -> Vec<Found> {
        let mut analyser = Analyser::new();
        sound.chunks(CHUNK_FRAMES * CHANNELS).flat_map(|piece| analyser.hear(piece)).collect()
    }

    /// Clicks of a few samples every so many frames, from the `first` on.
    fn clicks(seconds: usize, first: usize, every: f64) -> Vec<f32> {
        let mut sound = vec![0.0; seconds * SECOND * CHANNELS];
        for click in 0.. {
            let at = first + (f64::from(click) * every) as usize;
            let Some(place) = sound.get_mut(at * CHANNELS..(at + 40) * CHANNELS) else { break };
            for (number, sample) in place.iter_mut().enumerate() {
                *sample =
                    0.7 * (-(number as f32) / 30.0).exp() * if number % 8 < 4 { 1.0 } else { -1.0 };
            }
        }
        sound
    }

    fn beats(found: &[Found]) -> Vec<i64> {
        let is_beat = |found: &&Found| found.1 == Finding::Beat;
        found.iter().filter(is_beat).map(|&(frame, _)| frame).collect()
    }

    /// How far each is from the nearest click, in frames.
    fn errors(frames: &[i64], first: usize, every: f64) -> Vec<f64> {
        let off = |frame: i64| {
            let place = (frame as f64 - first as f64) / every;
            (place - place.round()) * every
        };
        frames.iter().map(|&frame| off(frame)).collect()
    }

    #[test]
    fn beats_are_where_the_clicks_are() {
        for (bpm, first) in [(120.0, 12_345), (97.0, 777), (174.0, 5_000)] {
            let every = SECOND as f64 * 60.0 / bpm;
            let found = found(&clicks(20, first, every));
            let beats = beats(&found);
            let errors = errors(&beats, first, every);
            // The first seconds are for finding the tempo.
            assert!(beats.len() as f64 > 13.0 * bpm / 60.0, "{bpm}: {} beats", beats.len());
            let worst = errors.iter().fold(0.0_f64, |worst, error| worst.max(error.abs()));
            assert!(worst <= 0.010 * SECOND as f64, "{bpm}: {worst} frames");
            let gaps: Vec<f64> = beats.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
            assert!(
                gaps.iter().all(|gap| (gap - every).abs() < 0.02 * SECOND as f64),
                "{bpm}: {gaps:?}"
            );
        }
    }

    #[test]
    fn onsets_are_where_the_clicks_are() {
        let (first, every) = (10_000, 31_111.0);
        let found = found(&clicks(10, first, every));
        let peaks: Vec<i64> = (found.iter())
            .filter_map(|(frame, finding)| matches!(finding, Finding::Peak(_)).then_some(*frame))
            .collect();
        let errors = errors(&peaks, first, every);
        assert!((14..=16).contains(&peaks.len()), "{}", peaks.len());
        let limit = 0.010 * SECOND as f64;
        assert!(errors.iter().all(|error| error.abs() <= limit), "{errors:?}");
    }

    #[test]
    fn what_has_no_beat_gets_none() {
        let mut state = 1_u32;
        let noise: Vec<f32> = (0..15 * SECOND * CHANNELS)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        for sound in [noise, vec![0.0; 15 * SECOND * CHANNELS]] {
            assert_eq!(beats(&found(&sound)), [0; 0]);
        }
    }

    #[test]
    fn findings_come_in_order_and_soon() {
        let sound = clicks(10, 100, 24_000.0);
        let mut analyser = Analyser::new();
        let (mut heard, mut last) = (0, i64::MIN);
        let mut spectra = 0;
        for piece in sound.chunks(CHUNK_FRAMES * CHANNELS) {
            heard += (piece.len() / CHANNELS) as i64;
            for (frame, finding) in analyser.hear(piece) {
                assert!(last <= frame && frame < heard, "{frame} after {last}");
                last = frame;
                spectra += usize::from(matches!(finding, Finding::Spectrum(_)));
            }
            assert!(heard < 20_000 || heard - last < SECOND as i64 / 4, "{last} of {heard}");
        }
        assert!((480..=500).contains(&spectra), "{spectra}");
        assert!(analyser.samples.len() < 3 * spectrum::WINDOW * CHANNELS);
    }
}
