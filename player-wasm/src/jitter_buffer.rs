//! Holds decoded audio until its time: orders it, drops what came twice, knows where it has holes.
//!
//! Positions are frames of the stream, so contiguity is a comparison of integers. (At 44.1 kHz no chunk
//! is a whole number of microseconds; comparing times would see holes that are not there.)

use std::collections::BTreeMap;

use protocol::audio::FrameIndex;

/// One stereo frame, left and right, nominal range ±1.0.
pub type Frame = [f32; 2];

/// What became of audio that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It waits for its time.
    Stored,
    /// All of it was there already.
    Duplicate,
    /// There is no room: the server sent more than it was told it may. The audio is dropped.
    Full,
}

/// Decoded audio of one stream, by frame index. Bounded; see [`Inserted::Full`].
#[derive(Debug)]
pub struct JitterBuffer {
    /// Segments by their first frame; they do not overlap and are not empty.
    segments: BTreeMap<i64, Vec<Frame>>,
    frames: usize,
    frames_max: usize,
}

impl JitterBuffer {
    /// An empty buffer that holds at most `frames_max` frames.
    #[must_use]
    pub const fn new(frames_max: usize) -> Self {
        Self { segments: BTreeMap::new(), frames: 0, frames_max }
    }

    /// Takes audio whose first frame is `first`. Parts that are there already are not replaced.
    pub fn insert(&mut self, first: FrameIndex, pcm: &[Frame]) -> Inserted {
        let until = first.0.saturating_add(pcm.len() as i64);
        if self.contiguous_end(first.0).is_some_and(|end| end >= until) {
            return Inserted::Duplicate;
        }
        if self.frames + pcm.len() > self.frames_max {
            return Inserted::Full;
        }
        let mut at = first.0;
        while at < until {
            if let Some(end) = self.contiguous_end(at) {
                at = end;
                continue;
            }
            let end = self.segments.range(at..).next().map_or(until, |(&next, _)| next.min(until));
            let missing = &pcm[(at - first.0) as usize..(end - first.0) as usize];
            self.frames += missing.len();
            self.segments.insert(at, missing.to_vec());
            at = end;
        }
        Inserted::Stored
    }

    /// Whether both hold the same sound wherever both hold any, `shift` being added to the frames of `other`.
    #[must_use]
    pub fn agrees_with(&self, other: &Self, shift: i64) -> bool {
        other.segments.iter().all(|(&first, theirs)| {
            (first + shift..).zip(theirs).all(|(frame, theirs)| {
                let ours = self.segments.range(..=frame).next_back();
                let ours = ours.and_then(|(&first, pcm)| pcm.get((frame - first) as usize));
                ours.is_none_or(|ours| ours == theirs)
            })
        })
    }

    /// Takes over what `other` holds and this does not, as far as there is room.
    pub fn absorb(&mut self, other: Self, shift: i64) {
        for (first, pcm) in other.segments {
            self.insert(FrameIndex(first.saturating_add(shift)), &pcm);
        }
    }

    /// Forgets whole segments that end at or before `frame`.
    pub fn discard_before(&mut self, frame: FrameIndex) {
        while let Some(segment) = self.segments.first_entry() {
            if segment.key() + segment.get().len() as i64 > frame.0 {
                break;
            }
            self.frames -= segment.remove().len();
        }
    }

    /// End (exclusive) of the unbroken audio that `from` lies in; `None` when `from` is missing.
    #[must_use]
    pub fn contiguous_end(&self, from: i64) -> Option<i64> {
        let (&first, pcm) = self.segments.range(..=from).next_back()?;
        let mut end = first + pcm.len() as i64;
        if end <= from {
            return None;
        }
        for (&first, pcm) in self.segments.range(end..) {
            if first != end {
                break;
            }
            end += pcm.len() as i64;
        }
        Some(end)
    }

    /// The first frame at or after `from` that is there.
    #[must_use]
    pub fn next_present(&self, from: i64) -> Option<i64> {
        if self.contiguous_end(from).is_some() {
            return Some(from);
        }
        self.segments.range(from..).next().map(|(&first, _)| first)
    }

    /// End (exclusive) of the last audio that is there.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        self.segments.last_key_value().map(|(&first, pcm)| first + pcm.len() as i64)
    }

    /// Copies the frames from `from` on; missing ones are silence.
    pub fn read(&self, from: i64, out: &mut [Frame]) {
        out.fill([0.0; 2]);
        let until = from + out.len() as i64;
        let begin = self.segments.range(..=from).next_back().map_or(from, |(&first, _)| first);
        for (&first, pcm) in self.segments.range(begin..until) {
            let start = first.max(from);
            let end = (first + pcm.len() as i64).min(until);
            if start < end {
                let source = &pcm[(start - first) as usize..(end - first) as usize];
                out[(start - from) as usize..(end - from) as usize].copy_from_slice(source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;

    fn ramp(first: i64, frames: i64) -> Vec<Frame> {
        (first..first + frames).map(|frame| [frame as f32, -(frame as f32)]).collect()
    }

    fn filled(buffer: &mut JitterBuffer, first: i64, frames: i64) -> Inserted {
        buffer.insert(FrameIndex(first), &ramp(first, frames))
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let mut buffer = JitterBuffer::new(1_000);
        for first in [200, 0, 100] {
            assert_eq!(filled(&mut buffer, first, 100), Inserted::Stored);
        }
        assert_eq!(buffer.contiguous_end(0), Some(300));
        let mut out = vec![[0.0; 2]; 120];
        buffer.read(90, &mut out);
        assert_eq!(out, ramp(90, 120));
    }

    #[test]
    fn a_hole_is_silence_and_known() {
        let mut buffer = JitterBuffer::new(1_000);
        filled(&mut buffer, 0, 100);
        filled(&mut buffer, 150, 100);
        assert_eq!(buffer.contiguous_end(99), Some(100));
        assert_eq!(buffer.contiguous_end(100), None);
        assert_eq!(buffer.next_present(100), Some(150));
        let mut out = vec![[7.0; 2]; 60];
        buffer.read(95, &mut out);
        assert_eq!(out[..5], ramp(95, 5)[..]);
        assert!(out[5..55].iter().all(|frame| *frame == [0.0; 2]));
        assert_eq!(out[55..], ramp(150, 5)[..]);
    }

    #[test]
    fn what_came_twice_is_kept_once() {
        let mut buffer = JitterBuffer::new(1_000);
        filled(&mut buffer, 0, 100);
        assert_eq!(buffer.insert(FrameIndex(50), &[[9.0; 2]; 50]), Inserted::Duplicate);
        assert_eq!(buffer.insert(FrameIndex(50), &[[9.0; 2]; 60]), Inserted::Stored);
        let mut out = vec![[0.0; 2]; 110];
        buffer.read(0, &mut out);
        assert_eq!(out[..100], ramp(0, 100)[..], "the first to come is kept");
        assert_eq!(out[100], [9.0; 2]);
    }

    #[test]
    fn more_than_it_may_hold_is_refused_until_there_is_room() {
        let mut buffer = JitterBuffer::new(150);
        assert_eq!(filled(&mut buffer, 0, 100), Inserted::Stored);
        assert_eq!(filled(&mut buffer, 100, 100), Inserted::Full);
        buffer.discard_before(FrameIndex(99));
        assert_eq!(filled(&mut buffer, 100, 100), Inserted::Full, "frame 99 is still wanted");
        buffer.discard_before(FrameIndex(100));
        assert_eq!(filled(&mut buffer, 100, 100), Inserted::Stored);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn reads_what_was_written(inserts in prop::collection::vec((0_i64..400, 1_i64..80), 1..20)) {
            let mut buffer = JitterBuffer::new(100_000);
            let mut model = [None; 500];
            for (first, frames) in inserts {
                filled(&mut buffer, first, frames);
                for frame in first..first + frames {
                    model[frame as usize] = Some(frame as f32);
                }
            }
            let mut out = vec![[0.0; 2]; 500];
            buffer.read(0, &mut out);
            for (frame, expected) in model.iter().enumerate() {
                prop_assert_eq!(out[frame][0], expected.unwrap_or(0.0));
                prop_assert_eq!(buffer.contiguous_end(frame as i64).is_some(), expected.is_some());
            }
        }
    }

    #[test]
    fn another_buffer_of_the_same_sound_is_taken_over_where_it_goes_on() {
        let sound = |frames: std::ops::Range<i64>| -> Vec<Frame> {
            frames.map(|frame| [frame as f32, -frame as f32]).collect()
        };
        let mut ours = JitterBuffer::new(1_000);
        ours.insert(FrameIndex(0), &sound(0..100));
        // Its frame 0 is our frame 80.
        let mut theirs = JitterBuffer::new(1_000);
        theirs.insert(FrameIndex(0), &sound(80..150));
        assert!(ours.agrees_with(&theirs, 80));
        assert!(!ours.agrees_with(&theirs, 79), "one frame off is another sound");
        assert!(ours.agrees_with(&theirs, 100), "nothing in common is no contradiction");
        ours.absorb(theirs, 80);
        assert_eq!(ours.contiguous_end(0), Some(150));
        let mut read = [[0.0; 2]; 2];
        ours.read(99, &mut read);
        assert_eq!(read, [[99.0, -99.0], [100.0, -100.0]]);
    }
}
