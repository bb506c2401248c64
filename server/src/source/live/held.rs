//! What has come of a stream and was not taken yet: the sender waits when it is full.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::source::track::Track;
use crate::source::{CHANNELS, RATE_HZ};

/// Frames over which the sound fades out before a hole, and in after it: 10 ms.
pub(super) const FADE_FRAMES: usize = RATE_HZ as usize / 100;

/// Stereo samples at [`RATE_HZ`], of one track.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Left and right in turn.
    pub(super) samples: Vec<f32>,
    /// As in [`crate::source::Pcm`].
    pub(super) resolution_bits: u32,
    /// What is played.
    pub(super) track: Arc<Track>,
}

/// The pieces in hand, oldest first.
#[derive(Debug)]
pub(super) struct Held {
    pieces: VecDeque<Piece>,
    frames: usize,
    capacity: usize,
    /// Frames that have come since a joint that is still being faded in.
    joined: Option<usize>,
    /// No more will come.
    pub(super) ended: bool,
    /// It is a file, whatever pace it comes at: nothing of it is left out.
    pub(super) is_file: bool,
}

impl Held {
    /// Takes more in until `capacity` frames are there.
    pub(super) fn new(capacity: usize) -> Self {
        let pieces = VecDeque::new();
        Self { pieces, frames: 0, capacity, joined: None, ended: false, is_file: false }
    }

    /// Frames in hand. At most the capacity and a piece.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// How long it lasts.
    pub(super) fn lasts(&self) -> Duration {
        Duration::from_secs_f64(self.frames as f64 / f64::from(RATE_HZ))
    }

    /// Whether the sender has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.frames >= self.capacity
    }

    /// Takes in `frames` frames more from now on before the sender has to wait.
    pub(super) fn make_room(&mut self, frames: usize) {
        self.capacity += frames;
    }

    /// What is played first of what is in hand.
    pub(super) fn track(&self) -> Option<&Arc<Track>> {
        self.pieces.front().map(|piece| &piece.track)
    }

    /// Adds what has come. With `fresh`, it does not go on where the last piece ended, as after a new connection: both
    /// sides of the joint are faded.
    pub(super) fn push(&mut self, mut piece: Piece, fresh: bool) {
        if fresh && self.frames > 0 {
            let mut age = 0;
            for piece in self.pieces.iter_mut().rev() {
                if age >= FADE_FRAMES {
                    break;
                }
                fade(piece.samples.rchunks_exact_mut(CHANNELS), age);
                piece.resolution_bits = 24;
                age += piece.samples.len() / CHANNELS;
            }
            self.joined = Some(0);
        }
        if let Some(age) = self.joined {
            fade(piece.samples.chunks_exact_mut(CHANNELS), age);
            piece.resolution_bits = 24;
            let age = age + piece.samples.len() / CHANNELS;
            self.joined = (age < FADE_FRAMES).then_some(age);
        }
        self.frames += piece.samples.len() / CHANNELS;
        if !piece.samples.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Takes up to `frames` frames of one track from the front.
    pub(super) fn take(&mut self, frames: usize) -> Option<Piece> {
        let front = self.pieces.front_mut()?;
        let samples = frames * CHANNELS;
        let piece = if front.samples.len() <= samples {
            self.pieces.pop_front()?
        } else {
            let samples = front.samples.drain(..samples).collect();
            Piece { samples, track: Arc::clone(&front.track), ..*front }
        };
        self.frames -= piece.samples.len() / CHANNELS;
        Some(piece)
    }

    /// Lets the oldest `frames` frames go.
    pub(super) fn skip(&mut self, frames: usize) {
        let end = self.frames.saturating_sub(frames);
        while self.frames > end && self.take(self.frames - end).is_some() {}
    }

    /// Fades the beginning of what is in hand in.
    pub(super) fn fade_in(&mut self) {
        let mut age = 0;
        for piece in &mut self.pieces {
            if age >= FADE_FRAMES {
                return;
            }
            fade(piece.samples.chunks_exact_mut(CHANNELS), age);
            piece.resolution_bits = 24;
            age += piece.samples.len() / CHANNELS;
        }
    }

    /// Lets all of it go.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.frames = 0;
    }
}

/// Fades the end of `samples` out; all of it if it is shorter than [`FADE_FRAMES`].
pub(super) fn fade_out(samples: &mut [f32]) {
    fade(samples.rchunks_exact_mut(CHANNELS), 0);
}

/// Fades `frames`, of which the first one is `age` frames away from silence.
fn fade<'a>(frames: impl Iterator<Item = &'a mut [f32]>, age: usize) {
    for (age, frame) in (age..FADE_FRAMES).zip(frames) {
        for sample in frame {
            *sample *= gain(age);
        }
    }
}

/// Half a cosine: no corner at either end.
fn gain(age: usize) -> f32 {
    let turn = std::f32::consts::PI * age as f32 / FADE_FRAMES as f32;
    0.5 - 0.5 * turn.cos()
}
