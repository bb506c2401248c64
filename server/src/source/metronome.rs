//! A tick each second, for setting the delay of a loudspeaker by ear: as long as two rooms are out of step, each
//! beat is heard twice.
//!
//! One tick a second leaves half a second to either side in which it is clear which room is late: more than any
//! wireless loudspeaker needs.

use super::file::Block;
use super::track::Track;
use super::{CHANNELS, RATE_HZ};

/// Frames of one beat, 1 s.
const BEAT_FRAMES: usize = RATE_HZ as usize;
/// Beats until it starts over, 1 min.
pub(super) const BEATS: usize = 60;
/// Each so many beats the tick is higher, so that a delay of whole seconds is heard as well.
const ACCENT_EACH: usize = 4;
/// Pitch of the first and of the other beats of four, Hz.
const PITCH_HZ: [f32; 2] = [2_000.0, 1_000.0];
/// Time in which a tick fades to 1/e, seconds: short, so that two ticks 2 ms apart are told from one.
const DECAY_S: f32 = 0.004;
/// Length of a tick, seconds: 60 dB down.
const TICK_S: f32 = 0.030;
/// Level of a tick.
const LEVEL: f32 = 0.7;

/// Plays the metronome.
pub(super) struct Metronome {
    track: Track,
    /// The frame that comes next.
    at: usize,
}

impl Metronome {
    /// Ready to play from the first beat.
    pub(super) fn new() -> Self {
        let track = Track {
            title: "Metronome".to_owned(),
            artist: Some("Partyline".to_owned()),
            duration_ms: Some((BEATS * BEAT_FRAMES) as u64 * 1000 / u64::from(RATE_HZ)),
            ..Track::default()
        };
        Self { track, at: 0 }
    }

    /// Describes the track.
    pub(super) fn track(&self) -> &Track {
        &self.track
    }

    /// Goes to a frame.
    pub(super) fn seek(&mut self, frame: usize) {
        self.at = frame.min(BEATS * BEAT_FRAMES);
    }

    /// The next beat, or what is left of it; `None` after the last until [`Self::seek`].
    pub(super) fn next_block(&mut self) -> Option<Block> {
        let (beat, past) = (self.at / BEAT_FRAMES, self.at % BEAT_FRAMES);
        if beat == BEATS {
            return None;
        }
        self.at += BEAT_FRAMES - past;
        let accent = beat.is_multiple_of(ACCENT_EACH);
        let mut samples = vec![0.0; BEAT_FRAMES * CHANNELS];
        let tick = tick(PITCH_HZ[usize::from(!accent)]);
        for (frame, sample) in samples.chunks_exact_mut(CHANNELS).zip(tick) {
            frame.fill(sample);
        }
        samples.drain(..past * CHANNELS);
        Some(Block { samples, rate_hz: RATE_HZ, resolution_bits: 24 })
    }
}

/// A decaying cosine: full on its first sample, because the ear goes by the onset.
fn tick(pitch_hz: f32) -> impl Iterator<Item = f32> {
    let frames = (TICK_S * RATE_HZ as f32) as usize;
    (0..frames).map(move |frame| {
        let s = frame as f32 / RATE_HZ as f32;
        LEVEL * (-s / DECAY_S).exp() * (std::f32::consts::TAU * pitch_hz * s).cos()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_begins_with_a_tick_and_each_fourth_is_higher() {
        let mut metronome = Metronome::new();
        let beats: Vec<_> = std::iter::from_fn(|| metronome.next_block()).collect();
        assert_eq!(beats.len(), BEATS);
        for (i, beat) in beats.iter().enumerate() {
            assert_eq!(beat.samples.len(), CHANNELS * BEAT_FRAMES, "beat {i}");
            assert_eq!(beat.samples[0], LEVEL, "beat {i} does not begin with its tick");
            let rest = &beat.samples[CHANNELS * BEAT_FRAMES / 20..];
            assert!(rest.iter().all(|sample| *sample == 0.0), "beat {i} is not over after 50 ms");
            assert_eq!(beat.samples == beats[0].samples, i.is_multiple_of(4), "beat {i}");
        }
        metronome.seek(0);
        assert_eq!(metronome.next_block().unwrap().samples, beats[0].samples);
        metronome.seek(BEAT_FRAMES + 100);
        assert_eq!(metronome.next_block().unwrap().samples, beats[1].samples[100 * CHANNELS..]);
        assert_eq!(metronome.next_block().unwrap().samples, beats[2].samples);
    }
}
