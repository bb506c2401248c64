//! The notes of the demo track.
//!
//! Four chords to a round, two rounds each: F G Em Am, then Dm G C Am. A kick on every beat, so that two
//! phones out of step are heard to be at once.

use super::voice::Voice;
use super::{STEP_FRAMES, STEPS_PER_BAR};

/// One sounding event.
pub(super) struct Note {
    /// First frame, from the start of the loop.
    pub(super) start: usize,
    /// What it sounds like.
    pub(super) voice: Voice,
    /// Amplitude.
    pub(super) gain: f32,
    /// From -1, left, to 1, right.
    pub(super) pan: f32,
}

/// A chord: the bass note and four notes above, as MIDI note numbers.
type Chord = (u8, [u8; 4]);

const F: Chord = (41, [53, 57, 60, 64]);
const G: Chord = (43, [55, 59, 62, 64]);
const E_MINOR: Chord = (40, [52, 55, 59, 62]);
const A_MINOR: Chord = (45, [52, 57, 60, 67]);
const D_MINOR: Chord = (38, [53, 57, 60, 62]);
const C: Chord = (36, [52, 55, 59, 64]);

const CHORDS: [Chord; 16] = [
    F, G, E_MINOR, A_MINOR, F, G, E_MINOR, A_MINOR, //
    D_MINOR, G, C, A_MINOR, D_MINOR, G, C, A_MINOR,
];

/// Melody of four bars: step within the bar and MIDI note.
type Phrase = [&'static [(usize, u8)]; 4];

const CALL: Phrase = [
    &[(0, 76), (3, 79), (6, 81), (10, 79), (14, 76)],
    &[(0, 74), (3, 76), (6, 79), (12, 74)],
    &[(2, 71), (4, 74), (7, 76), (10, 79)],
    &[(0, 76), (6, 72), (10, 74), (12, 76)],
];

const ANSWER: Phrase = [
    &[(0, 81), (3, 79), (6, 77), (8, 76), (12, 74)],
    &[(0, 79), (3, 76), (6, 74), (10, 71), (12, 74)],
    &[(0, 76), (4, 79), (7, 84), (10, 83), (12, 79)],
    &[(0, 81), (3, 79), (6, 76), (8, 72), (14, 74)],
];

/// Dotted eighth notes between a plucked note and its echoes.
const ECHO_STEPS: usize = 3;

/// Everything that sounds, in no particular order.
pub(super) fn notes() -> Vec<Note> {
    let mut notes = Vec::new();
    for (bar, chord) in CHORDS.iter().enumerate() {
        let mut at = |step: usize, voice: Voice, gain: f32, pan: f32| {
            notes.push(Note { start: frame(bar, step), voice, gain, pan });
        };
        drums(bar, &mut at);
        bass(*chord, &mut at);
        for (index, midi) in chord.1.into_iter().enumerate() {
            let pan = [-0.3, 0.3, -0.15, 0.15][index];
            at(0, Voice::Pad { hz: hertz(midi) }, 0.042, pan);
        }
        let phrase = if bar < 8 { CALL } else { ANSWER };
        for &(step, midi) in phrase[bar % 4] {
            let pluck = Voice::Pluck { hz: hertz(midi) };
            at(step, pluck, 0.13, 0.1);
            at(step + ECHO_STEPS, pluck, 0.05, -0.6);
            at(step + 2 * ECHO_STEPS, pluck, 0.025, 0.6);
        }
    }
    notes
}

fn drums(bar: usize, at: &mut impl FnMut(usize, Voice, f32, f32)) {
    for beat in 0..4 {
        at(beat * 4, Voice::Kick, 0.42, 0.0);
        at(beat * 4 + 2, Voice::Hat { seconds: 0.09 }, 0.07, 0.25);
    }
    for step in [1, 3, 5, 7, 9, 11, 13, 15] {
        at(step, Voice::Hat { seconds: 0.03 }, 0.03, -0.25);
    }
    for step in [4, 12] {
        at(step, Voice::Clap, 0.12, 0.0);
    }
    // A turn at the end of every fourth bar.
    if bar % 4 == 3 {
        at(14, Voice::Clap, 0.07, -0.3);
        at(15, Voice::Clap, 0.09, 0.3);
    }
}

fn bass(chord: Chord, at: &mut impl FnMut(usize, Voice, f32, f32)) {
    for (step, octave) in [(0, 0), (3, 0), (6, 12), (8, 0), (11, 0), (14, 12)] {
        at(step, Voice::Bass { hz: hertz(chord.0 + octave) }, 0.2, 0.0);
    }
}

/// First frame of a step, which may lie in a later bar or, past the end, in the first.
fn frame(bar: usize, step: usize) -> usize {
    (bar * STEPS_PER_BAR + step) * STEP_FRAMES % super::LOOP_FRAMES
}

/// Frequency of a MIDI note: 69 is 440 Hz, twelve to the octave.
fn hertz(midi: u8) -> f64 {
    440.0 * ((f64::from(midi) - 69.0) / 12.0).exp2()
}
