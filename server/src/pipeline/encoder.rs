//! Turns samples into the bytes of a chunk, for each format that this server makes.
//!
//! A pure function of samples, position and format: the same chunk is the same bytes whoever asks for
//! it, and whenever.
//!
//! Source: wire reference 7.1 for the layout. Dither: Lipshitz, Wannamaker, Vanderkooy, "Quantization and
//! Dither: A Theoretical Survey", JAES 40(5), 1992. Noise: the `SplitMix64` output function of Steele, Lea,
//! Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.

use bytes::Bytes;
use protocol::audio::{AudioFormat, Codec, FrameIndex};
use protocol::binary::{AUDIO_HEADER_BYTES, begin_audio_chunk};
use protocol::time::ServerTime;

use super::CHUNK_FRAMES;
use crate::source::{CHANNELS, RATE_HZ};

/// A format that this server makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireFormat {
    /// PCM, 48 kHz, stereo, 16 bits.
    Pcm16,
    /// PCM, 48 kHz, stereo, 24 bits packed in three bytes.
    Pcm24,
}

impl WireFormat {
    /// Every format, in the order of their discriminants.
    pub(crate) const ALL: [Self; 2] = [Self::Pcm16, Self::Pcm24];

    /// All of them in words, for a client that can play none.
    pub(crate) const IN_WORDS: &'static str = "pcm 48000 Hz 2 channels, 16 or 24 bit";

    /// What edges call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pcm16 => "pcm-48000-2-16",
            Self::Pcm24 => "pcm-48000-2-24",
        }
    }

    /// The format as the wire names it.
    pub(crate) const fn audio_format(self) -> AudioFormat {
        let bit_depth = match self {
            Self::Pcm16 => 16,
            Self::Pcm24 => 24,
        };
        AudioFormat { codec: Codec::Pcm, channels: CHANNELS as u8, sample_rate: RATE_HZ, bit_depth }
    }

    /// The one that makes `format`, if there is one.
    pub(crate) fn of(format: AudioFormat) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| candidate.audio_format() == format)
    }

    /// Bytes of a chunk of `frames` frames, header included.
    pub(crate) const fn message_bytes(self, frames: usize) -> usize {
        AUDIO_HEADER_BYTES + frames * self.audio_format().frame_bytes()
    }

    /// Bytes of the longest chunk, header included.
    pub(crate) const fn message_bytes_max(self) -> usize {
        self.message_bytes(CHUNK_FRAMES)
    }
}

/// Samples and where they belong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    /// Index of the first frame. It seeds the dither.
    pub(crate) first: FrameIndex,
    /// Left and right in turn, full scale ±1.0. What exceeds it is clipped.
    pub(crate) samples: &'a [f32],
    /// Bits that carry information; with 16, samples are whole multiples of 1/32768.
    pub(crate) resolution_bits: u32,
}

/// The whole binary message: header and audio.
pub(crate) fn encode(format: WireFormat, play_at: ServerTime, block: Block<'_>) -> Bytes {
    let audio_bytes = block.samples.len() / CHANNELS * format.audio_format().frame_bytes();
    let mut message = begin_audio_chunk(play_at, audio_bytes);
    match format {
        // Untouched: a dithered copy of what already has 16 bits would only be noisier.
        WireFormat::Pcm16 if block.resolution_bits <= 16 => {
            for &sample in block.samples {
                message.extend_from_slice(&quantize_16(f64::from(sample), 0.0).to_le_bytes());
            }
        }
        WireFormat::Pcm16 => {
            let first = (block.first.0 as u64).wrapping_mul(CHANNELS as u64);
            for (at, &sample) in (0_u64..).zip(block.samples) {
                let noise = triangular(first.wrapping_add(at));
                message.extend_from_slice(&quantize_16(f64::from(sample), noise).to_le_bytes());
            }
        }
        WireFormat::Pcm24 => {
            for &sample in block.samples {
                let [low, middle, high, _] = quantize_24(f64::from(sample)).to_le_bytes();
                message.extend_from_slice(&[low, middle, high]);
            }
        }
    }
    message.into()
}

/// The nearest 16-bit value to `sample` and `noise` steps.
fn quantize_16(sample: f64, noise: f64) -> i16 {
    // A float that is out of range saturates, which is the clipping wanted here.
    (sample * 32_768.0 + noise).round() as i16
}

/// The nearest 24-bit value.
fn quantize_24(sample: f64) -> i32 {
    (sample * 8_388_608.0).round().clamp(-8_388_608.0, 8_388_607.0) as i32
}

/// Noise with a triangular distribution over ±1 step, the same for the same `counter`.
///
/// Two steps wide is what makes the mean and the power of the rounding error independent of the music; a
/// counter instead of a running generator is what makes a chunk's bytes depend on its position alone.
fn triangular(counter: u64) -> f64 {
    const TO_UNIT: f64 = 1.0 / (1_u64 << 32) as f64;
    let mut bits = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let (high, low) = (bits >> 32, bits & 0xffff_ffff);
    // Each half is uniform over 0..2^32 and half a step short of it on average, hence the 1.
    (high + low + 1) as f64 * TO_UNIT - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::binary::BinaryMessage;

    fn audio(format: WireFormat, first: i64, samples: &[f32], resolution_bits: u32) -> Vec<u8> {
        let block = Block { first: FrameIndex(first), samples, resolution_bits };
        encode(format, ServerTime::from_micros(7), block)[AUDIO_HEADER_BYTES..].to_vec()
    }

    fn as_i16(audio: &[u8]) -> Vec<i16> {
        audio.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect()
    }

    fn as_i24(audio: &[u8]) -> Vec<i32> {
        let widen =
            |&[low, middle, high]: &[u8; 3]| i32::from_le_bytes([0, low, middle, high]) >> 8;
        audio.as_chunks().0.iter().map(widen).collect()
    }

    #[test]
    fn sixteen_bits_go_through_untouched() {
        let values: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let samples: Vec<f32> = values.iter().map(|&value| f32::from(value) / 32_768.0).collect();
        assert_eq!(as_i16(&audio(WireFormat::Pcm16, 0, &samples, 16)), values);
        let widened = as_i24(&audio(WireFormat::Pcm24, 0, &samples, 16));
        assert!(widened.iter().zip(&values).all(|(&wide, &value)| wide == i32::from(value) << 8));
    }

    #[test]
    fn rounds_to_the_nearest_and_clips() {
        let step = 1.0 / 8_388_608.0_f32;
        let samples = [0.4 * step, 0.6 * step, -0.6 * step, 1.0, 3.0, -1.0, -3.0, f32::NAN];
        let top = 8_388_607;
        assert_eq!(
            as_i24(&audio(WireFormat::Pcm24, 0, &samples, 24)),
            [0, 1, -1, top, top, -top - 1, -top - 1, 0]
        );
        let loud = [1.5, -1.5];
        assert_eq!(as_i16(&audio(WireFormat::Pcm16, 0, &loud, 16)), [i16::MAX, i16::MIN]);
        assert_eq!(as_i16(&audio(WireFormat::Pcm16, 0, &loud, 24)), [i16::MAX, i16::MIN]);
    }

    #[test]
    fn a_chunk_is_header_and_whole_frames() {
        for format in WireFormat::ALL {
            let block = Block { first: FrameIndex(0), samples: &[0.5; 8], resolution_bits: 24 };
            let message = encode(format, ServerTime::from_micros(-5), block);
            assert_eq!(message.len(), format.message_bytes(4));
            let Ok(BinaryMessage::Audio(chunk)) = BinaryMessage::decode(&message) else {
                panic!("not an audio chunk");
            };
            assert_eq!(chunk.play_at, ServerTime::from_micros(-5));
            assert_eq!(chunk.audio.len(), 4 * format.audio_format().frame_bytes());
            assert_eq!(WireFormat::of(format.audio_format()), Some(format));
        }
    }

    /// Mean and variance of the error, in steps, of a constant `level` in steps.
    fn error_of(level: f32) -> (f64, f64) {
        let samples = vec![level / 32_768.0; 200_000];
        let errors: Vec<f64> = as_i16(&audio(WireFormat::Pcm16, 0, &samples, 24))
            .into_iter()
            .map(|value| f64::from(value) - f64::from(level))
            .collect();
        let count = errors.len() as f64;
        let mean = errors.iter().sum::<f64>() / count;
        (mean, errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / count)
    }

    #[test]
    fn dither_makes_the_error_independent_of_the_level() {
        for level in [0.0, 0.125, 0.5, 0.875, -100.25, 12_345.5] {
            let (mean, variance) = error_of(level);
            // Six standard errors of 200,000 readings.
            assert!(mean.abs() < 0.007, "mean {mean} at {level}");
            assert!((variance - 0.25).abs() < 0.006, "variance {variance} at {level}");
        }
    }

    #[test]
    fn dither_spans_two_steps_and_differs_between_channels() {
        let noise: Vec<f64> = (0..100_000).map(triangular).collect();
        let (low, high) = noise.iter().fold((0.0_f64, 0.0_f64), |(l, h), &n| (l.min(n), h.max(n)));
        assert!(low > -1.0 && low < -0.98 && high < 1.0 && high > 0.98, "{low} {high}");
        // Independent channels: the correlation of left with right, and with the next left.
        for distance in [1, 2] {
            let sum: f64 = noise.iter().zip(&noise[distance..]).map(|(a, b)| a * b).sum();
            let correlation = sum / noise.len() as f64 * 6.0;
            assert!(correlation.abs() < 0.02, "{correlation} at {distance}");
        }
    }

    #[test]
    fn the_same_frames_are_the_same_bytes_however_they_are_cut() {
        let samples: Vec<f32> = (0..96).map(|n| (n as f32 * 0.37).sin() * 0.1).collect();
        let whole = audio(WireFormat::Pcm16, 1_000, &samples, 24);
        let mut parts = audio(WireFormat::Pcm16, 1_000, &samples[..34], 24);
        parts.extend(audio(WireFormat::Pcm16, 1_017, &samples[34..], 24));
        assert_eq!(whole, parts);
    }
}
