//! What is ready to be read: samples at the party's rate, each block with the run it belongs to.
//!
//! Samples that need no conversion pass through as they are. Others go through one [`Resampler`] that is
//! kept as long as the rate stays the same, across tracks and across the loop point: the filter sees one
//! endless recording, so there is no click and no gap, and rounding does not add up. When the rate
//! changes, the old one is run empty and a new one begins.

use std::collections::VecDeque;
use std::sync::Arc;

use super::file::Block;
use super::resample::Resampler;
use super::{CHANNELS, Fault, PCM_FRAMES_MAX, Pcm, RATE_HZ, Run};

type Ready = VecDeque<(Arc<Run>, Pcm)>;

/// Samples on their way out. What is waiting is bounded by the block that was put in last, and what the filter holds.
#[derive(Default)]
pub(super) struct Output {
    ready: Ready,
    converter: Option<Converter>,
}

impl Output {
    /// Whether nothing can be read.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The next samples.
    pub(super) fn pop(&mut self) -> Option<Pcm> {
        self.ready.pop_front().map(|(_, pcm)| pcm)
    }

    /// The run of the next samples.
    pub(super) fn run(&self) -> Option<&Run> {
        self.ready.front().map(|(run, _)| run.as_ref())
    }

    /// Takes the next samples of `run`.
    ///
    /// # Errors
    ///
    /// [`Fault::Rate`] when they cannot be converted.
    pub(super) fn push(&mut self, run: &Arc<Run>, block: &Block) -> Result<(), Fault> {
        if self.converter.as_ref().is_some_and(|c| c.resampler.rate_hz() != block.rate_hz) {
            self.flush()?;
        }
        if block.rate_hz == RATE_HZ {
            push(&mut self.ready, run, &block.samples, block.resolution_bits);
            return Ok(());
        }
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => none.insert(Converter::new(block.rate_hz)?),
        };
        converter.push(run, &block.samples, &mut self.ready)
    }

    /// Hands out what the filter holds: nothing follows.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        match self.converter.take() {
            Some(converter) => converter.finish(&mut self.ready),
            None => Ok(()),
        }
    }
}

fn push(ready: &mut Ready, run: &Arc<Run>, stereo: &[f32], resolution_bits: u32) {
    for samples in stereo.chunks(PCM_FRAMES_MAX * CHANNELS) {
        let pcm = Pcm { samples: samples.to_vec(), resolution_bits };
        ready.push_back((Arc::clone(run), pcm));
    }
}

/// A resampler that remembers where in its output one run ends and the next begins.
struct Converter {
    resampler: Resampler,
    /// Output frame at which a run begins, and the run. In order; the first is being given out.
    starts: VecDeque<(u64, Arc<Run>)>,
    frames_out: u64,
}

impl Converter {
    fn new(rate_hz: u32) -> Result<Self, Fault> {
        let resampler = Resampler::new(rate_hz)?;
        Ok(Self { resampler, starts: VecDeque::new(), frames_out: 0 })
    }

    fn push(&mut self, run: &Arc<Run>, stereo: &[f32], ready: &mut Ready) -> Result<(), Fault> {
        if self.starts.back().is_none_or(|(_, last)| last.number != run.number) {
            self.starts.push_back((self.resampler.position(), Arc::clone(run)));
        }
        let mut converted = Vec::new();
        self.resampler.push(stereo, &mut converted)?;
        self.hand_out(&converted, ready);
        Ok(())
    }

    fn finish(mut self, ready: &mut Ready) -> Result<(), Fault> {
        let mut converted = Vec::new();
        self.resampler.flush(&mut converted)?;
        self.hand_out(&converted, ready);
        Ok(())
    }

    fn hand_out(&mut self, mut converted: &[f32], ready: &mut Ready) {
        while let Some((_, run)) = self.starts.front() {
            let next_start = self.starts.get(1).map_or(u64::MAX, |(start, _)| *start);
            let frames = next_start.saturating_sub(self.frames_out);
            let samples = usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(CHANNELS);
            let (now, later) = converted.split_at(samples.min(converted.len()));
            push(ready, run, now, 24);
            self.frames_out += (now.len() / CHANNELS) as u64;
            converted = later;
            if self.frames_out < next_start {
                break;
            }
            self.starts.pop_front();
        }
    }
}
