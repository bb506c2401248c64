//! Cuts a run of samples into chunks of equal frame count, and counts frames.

use protocol::audio::FrameIndex;

use super::CHUNK_FRAMES;
use crate::source::{CHANNELS, Pcm};

/// A chunk's worth of samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cut {
    /// Index of the first frame since the party began.
    pub(crate) first: FrameIndex,
    /// Left and right in turn.
    pub(crate) samples: Box<[f32]>,
    /// The finest resolution of anything in here.
    pub(crate) resolution_bits: u32,
}

/// Collects samples and hands out chunks. Holds less than a chunk between a drained [`Chunker::cut`] and
/// the next [`Chunker::push`].
#[derive(Debug, Default)]
pub(crate) struct Chunker {
    samples: Vec<f32>,
    first: i64,
    resolution_bits: u32,
    newest_bits: u32,
}

impl Chunker {
    /// Index that the first frame of the next [`Chunker::push`] gets.
    pub(crate) fn next_frame(&self) -> FrameIndex {
        FrameIndex(self.first + frames(&self.samples))
    }

    /// Index of the first frame of the next [`Chunker::cut`].
    pub(crate) fn next_cut(&self) -> FrameIndex {
        FrameIndex(self.first)
    }

    /// Takes samples in. Drain [`Chunker::cut`] before the next call.
    pub(crate) fn push(&mut self, pcm: &Pcm) {
        self.newest_bits = pcm.resolution_bits;
        self.resolution_bits = self.resolution_bits.max(pcm.resolution_bits);
        self.samples.extend_from_slice(&pcm.samples);
    }

    /// The next whole chunk, if there is one.
    pub(crate) fn cut(&mut self) -> Option<Cut> {
        (self.samples.len() >= CHUNK_FRAMES * CHANNELS).then(|| self.take(CHUNK_FRAMES * CHANNELS))
    }

    /// What is left after the end of the music: shorter than a chunk, or nothing.
    pub(crate) fn finish(&mut self) -> Option<Cut> {
        (!self.samples.is_empty()).then(|| self.take(self.samples.len()))
    }

    /// Forgets what has not been handed out. Its frames are counted all the same: no index is used twice.
    pub(crate) fn clear(&mut self) {
        self.first += frames(&self.samples);
        self.samples.clear();
        self.resolution_bits = 0;
    }

    fn take(&mut self, length: usize) -> Cut {
        let samples: Box<[f32]> = self.samples.drain(..length).collect();
        let cut =
            Cut { first: FrameIndex(self.first), resolution_bits: self.resolution_bits, samples };
        self.first += frames(&cut.samples);
        // What stays behind came with the newest samples: before them there was less than a chunk.
        self.resolution_bits = if self.samples.is_empty() { 0 } else { self.newest_bits };
        cut
    }
}

fn frames(samples: &[f32]) -> i64 {
    (samples.len() / CHANNELS) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pcm(frames: std::ops::Range<i64>, resolution_bits: u32) -> Pcm {
        let samples = frames.flat_map(|frame| [frame as f32, -(frame as f32)]).collect();
        Pcm { samples, resolution_bits }
    }

    #[test]
    fn a_chunk_is_as_fine_as_the_finest_in_it() {
        let mut chunker = Chunker::default();
        let whole = CHUNK_FRAMES as i64;
        chunker.push(&pcm(0..10, 24));
        assert_eq!(chunker.cut(), None);
        chunker.push(&pcm(10..whole + 10, 16));
        assert_eq!(chunker.cut().map(|cut| cut.resolution_bits), Some(24));
        chunker.push(&pcm(whole + 10..2 * whole, 16));
        assert_eq!(chunker.cut().map(|cut| cut.resolution_bits), Some(16));
        assert_eq!(chunker.finish(), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_moved(blocks in prop::collection::vec(1_i64..4_097, 1..12)) {
            let mut chunker = Chunker::default();
            let mut cuts = Vec::new();
            let mut end = 0;
            for frames in blocks {
                prop_assert_eq!(chunker.next_frame(), FrameIndex(end));
                chunker.push(&pcm(end..end + frames, 16));
                end += frames;
                cuts.extend(std::iter::from_fn(|| chunker.cut()));
            }
            prop_assert!(cuts.iter().all(|cut| cut.samples.len() == CHUNK_FRAMES * CHANNELS));
            cuts.extend(chunker.finish());
            prop_assert_eq!(chunker.next_cut(), FrameIndex(end));
            let mut expected = 0;
            for cut in cuts {
                prop_assert_eq!(cut.first, FrameIndex(expected));
                expected += (cut.samples.len() / CHANNELS) as i64;
                let whole = pcm(cut.first.0..expected, 16);
                prop_assert_eq!(&cut.samples[..], &whole.samples[..]);
            }
            prop_assert_eq!(expected, end);
        }
    }
}
