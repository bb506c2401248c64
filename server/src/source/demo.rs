//! The built-in track: sixteen bars made by code, so that a party works before there is any file.
//!
//! Everything is a function of the frame number. Notes that ring past the end are heard at the start, so
//! the loop has no seam, and every round is the same to the last bit. One sixteenth note is made when it
//! is first needed and kept: the first sound is ready in a few milliseconds, and after 34 s the demo
//! costs no computing at all and 13 MB.

mod score;
mod voice;

use super::file::Block;
use super::track::Track;
use super::{CHANNELS, RATE_HZ};
use score::Note;

/// Frames of one sixteenth note. Whole, and with it every bar and the loop: that makes 112.5 beats a
/// minute.
const STEP_FRAMES: usize = 6_400;

/// Sixteenth notes of one bar of four beats.
const STEPS_PER_BAR: usize = 16;

/// Frames of one beat.
const BEAT_FRAMES: usize = 4 * STEP_FRAMES;

/// Bars until it starts over.
const BARS: usize = 16;

const STEPS: usize = BARS * STEPS_PER_BAR;

/// Length of the loop, 34.1 s.
pub(super) const LOOP_FRAMES: usize = STEPS * STEP_FRAMES;

/// Plays the demo track.
pub(super) struct Demo {
    track: Track,
    notes: Vec<Note>,
    made: Vec<Option<Box<[f32]>>>,
    /// The frame that comes next.
    at: usize,
}

impl Demo {
    /// Ready to play from the first bar.
    pub(super) fn new() -> Self {
        let track = Track {
            title: "Partyline demo".to_owned(),
            artist: Some("Partyline".to_owned()),
            duration_ms: Some(LOOP_FRAMES as u64 * 1000 / u64::from(RATE_HZ)),
            ..Track::default()
        };
        Self { track, notes: score::notes(), made: vec![None; STEPS], at: 0 }
    }

    /// Describes the track.
    pub(super) fn track(&self) -> &Track {
        &self.track
    }

    /// Goes to a frame.
    pub(super) fn seek(&mut self, frame: usize) {
        self.at = frame.min(LOOP_FRAMES);
    }

    /// The next sixteenth note, or what is left of it; `None` after the last bar until [`Self::seek`].
    pub(super) fn next_block(&mut self) -> Option<Block> {
        let (step, past) = (self.at / STEP_FRAMES, self.at % STEP_FRAMES);
        let made = self.made.get_mut(step)?;
        self.at += STEP_FRAMES - past;
        let made = made.get_or_insert_with(|| make_step(&self.notes, step));
        let samples = made[past * CHANNELS..].to_vec();
        Some(Block { samples, rate_hz: RATE_HZ, resolution_bits: 24 })
    }
}

/// Sums what is heard of every note during one sixteenth note.
fn make_step(notes: &[Note], step: usize) -> Box<[f32]> {
    let first = step * STEP_FRAMES;
    let mut mix = vec![0.0; STEP_FRAMES * CHANNELS];
    let beat_age = first % BEAT_FRAMES;
    let thumps: Vec<_> =
        (beat_age..beat_age + STEP_FRAMES).map(|age| voice::thump(voice::seconds(age))).collect();
    for note in notes {
        // Since the note began, this round or the one before: at the start, the end still rings.
        let since = (first + LOOP_FRAMES - note.start) % LOOP_FRAMES;
        if since < note.voice.frames() {
            note.add(since, &thumps, &mut mix);
        } else if since + STEP_FRAMES > LOOP_FRAMES {
            let lead_in = LOOP_FRAMES - since;
            note.add(0, &thumps[lead_in..], &mut mix[lead_in * CHANNELS..]);
        }
    }
    mix.into_boxed_slice()
}

impl Note {
    /// Adds the note from its frame `since` on, with what is felt of the kick at each frame.
    fn add(&self, since: usize, thumps: &[f32], mix: &mut [f32]) {
        let heard = self.voice.frames().saturating_sub(since);
        let frames = mix.chunks_exact_mut(CHANNELS).zip(thumps).take(heard);
        for (frame, (out, thump)) in frames.enumerate() {
            let [left, right] = self.voice.sample(since + frame, *thump);
            out[0] += left * self.gain * (1.0 - self.pan);
            out[1] += right * self.gain * (1.0 + self.pan);
        }
    }
}

#[cfg(test)]
mod tests;
