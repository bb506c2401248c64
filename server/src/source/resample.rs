//! Converts a stereo stream to [`RATE_HZ`], continuously.
//!
//! The first frame out is the first frame in: the filter's delay is removed. After [`Resampler::flush`]
//! as many frames have come out as the input lasted, `round(frames × 48000 / rate)`. In between the
//! stream may run through any number of tracks and loops; the filter never notices.
//!
//! Filter: rubato's FFT resampler, 1024 taps or more on the slower side, Blackman-Harris² window.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use super::{CHANNELS, Fault, RATE_HZ};

/// Shortest block on either side, in frames. It is also the length of the filter: shorter ones begin to
/// dull the highest octave, longer ones delay the first sound of a party for nothing.
const BLOCK_FRAMES_MIN: usize = 1024;

/// One continuous conversion from one rate.
pub(super) struct Resampler {
    fft: Fft<f32>,
    rate_hz: u32,
    /// Interleaved input that does not fill a block yet.
    pending: Vec<f32>,
    /// One block of output, reused.
    block: Vec<f32>,
    /// Frames the filter still puts out before the first frame of the input.
    delay: usize,
    frames_in: u64,
    frames_out: u64,
}

impl Resampler {
    /// Prepares a conversion from `rate_hz`, which the caller has checked to be a sane rate.
    ///
    /// # Errors
    ///
    /// [`Fault::Rate`] when there is no such conversion.
    pub(super) fn new(rate_hz: u32) -> Result<Self, Fault> {
        let divisor = greatest_common_divisor(rate_hz, RATE_HZ).max(1);
        let smallest = (rate_hz.min(RATE_HZ) / divisor) as usize;
        if smallest == 0 {
            return Err(Fault::Rate(rate_hz));
        }
        // An even number of smallest blocks makes both halves of the delay whole numbers of frames.
        let blocks = BLOCK_FRAMES_MIN.div_ceil(smallest).next_multiple_of(2);
        let frames_in = blocks * (rate_hz / divisor) as usize;
        let fft = Fft::new_custom(
            rate_hz as usize,
            RATE_HZ as usize,
            frames_in,
            1,
            CHANNELS,
            rubato::WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|_| Fault::Rate(rate_hz))?;
        let block = vec![0.0; fft.output_frames_max() * CHANNELS];
        let delay = fft.output_delay();
        Ok(Self { fft, rate_hz, pending: Vec::new(), block, delay, frames_in: 0, frames_out: 0 })
    }

    /// The rate it converts from, in Hz.
    pub(super) fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Index of the output frame at which the next input frame begins to be heard.
    pub(super) fn position(&self) -> u64 {
        converted(self.frames_in, self.rate_hz)
    }

    /// Takes interleaved stereo frames and appends what is ready to `out`.
    ///
    /// # Errors
    ///
    /// [`Fault::Rate`] when the conversion fails, which no input is known to cause.
    pub(super) fn push(&mut self, stereo: &[f32], out: &mut Vec<f32>) -> Result<(), Fault> {
        self.frames_in += (stereo.len() / CHANNELS) as u64;
        self.pending.extend_from_slice(stereo);
        self.convert(out)
    }

    /// Appends the rest of the stream to `out`. The resampler is at its end after this.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub(super) fn flush(&mut self, out: &mut Vec<f32>) -> Result<(), Fault> {
        let end = self.position();
        let silence = vec![0.0; self.fft.input_frames_next() * CHANNELS];
        while self.frames_out < end {
            self.pending.extend_from_slice(&silence);
            self.convert(out)?;
        }
        let surplus = (self.frames_out - end) as usize * CHANNELS;
        out.truncate(out.len().saturating_sub(surplus));
        self.frames_out = end;
        Ok(())
    }

    fn convert(&mut self, out: &mut Vec<f32>) -> Result<(), Fault> {
        let mut used = 0;
        loop {
            let frames = self.fft.input_frames_next();
            let Some(input) = self.pending.get(used..used + frames * CHANNELS) else {
                break;
            };
            let written = convert_block(&mut self.fft, input, &mut self.block)
                .ok_or(Fault::Rate(self.rate_hz))?;
            used += frames * CHANNELS;
            let skipped = self.delay.min(written);
            self.delay -= skipped;
            self.frames_out += (written - skipped) as u64;
            out.extend_from_slice(&self.block[skipped * CHANNELS..written * CHANNELS]);
        }
        self.pending.drain(..used);
        Ok(())
    }
}

/// Converts one block and returns the frames written.
fn convert_block(fft: &mut Fft<f32>, input: &[f32], output: &mut [f32]) -> Option<usize> {
    let capacity = output.len() / CHANNELS;
    let input = InterleavedSlice::new(input, CHANNELS, input.len() / CHANNELS).ok()?;
    let mut output = InterleavedSlice::new_mut(output, CHANNELS, capacity).ok()?;
    let (_, written) = fft.process_into_buffer(&input, &mut output, None).ok()?;
    Some(written)
}

/// How many frames at [`RATE_HZ`] last as long as `frames` at `rate_hz`, rounded to the nearest.
pub(super) fn converted(frames: u64, rate_hz: u32) -> u64 {
    let rate = u128::from(rate_hz.max(1));
    let exact = (u128::from(frames) * u128::from(RATE_HZ) * 2 + rate) / (2 * rate);
    u64::try_from(exact).unwrap_or(u64::MAX)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
