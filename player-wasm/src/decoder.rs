//! Chunks to frames, one arm per codec.

use protocol::audio::{AudioFormat, Codec};
use thiserror::Error;

use crate::jitter_buffer::Frame;

/// Formats that can be decoded, the preferred one first. What `client/hello` offers.
///
/// 16 bits come first: they are two thirds of the bytes, and their dither is below the noise of any room.
/// 44.1 kHz is for other servers; it costs nothing, because everything is resampled to the output's rate.
pub const FORMATS: [AudioFormat; 3] = [pcm(48_000, 16), pcm(44_100, 16), pcm(48_000, 24)];

const fn pcm(sample_rate: u32, bit_depth: u8) -> AudioFormat {
    AudioFormat { codec: Codec::Pcm, channels: 2, sample_rate, bit_depth }
}

/// Why audio could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A format that was not offered.
    #[error(
        "stream of {} {} Hz, {} channels, {} bit: not a format that this player offered",
        .0.codec.as_str(), .0.sample_rate, .0.channels, .0.bit_depth
    )]
    Format(AudioFormat),
    /// A chunk that is not whole frames.
    #[error("chunk of {bytes} bytes: expected whole frames of {frame_bytes} bytes")]
    PartialFrame {
        /// Bytes in the chunk.
        bytes: usize,
        /// Bytes in a frame.
        frame_bytes: usize,
    },
}

/// Decodes the chunks of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    format: AudioFormat,
}

impl Decoder {
    /// A decoder for `format`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Format`] unless it is one of [`FORMATS`].
    pub fn new(format: AudioFormat) -> Result<Self, DecodeError> {
        if FORMATS.contains(&format) {
            Ok(Self { format })
        } else {
            Err(DecodeError::Format(format))
        }
    }

    /// The stream's format.
    #[must_use]
    pub const fn format(&self) -> AudioFormat {
        self.format
    }

    /// Decodes one chunk.
    ///
    /// # Errors
    ///
    /// [`DecodeError::PartialFrame`] when the chunk is not whole frames.
    pub fn decode(&self, audio: &[u8]) -> Result<Vec<Frame>, DecodeError> {
        let frame_bytes = self.format.frame_bytes();
        if !audio.len().is_multiple_of(frame_bytes) {
            return Err(DecodeError::PartialFrame { bytes: audio.len(), frame_bytes });
        }
        let frames = audio.chunks_exact(frame_bytes);
        Ok(match self.format.bit_depth {
            24 => frames.map(|f| [pcm_24(f[0], f[1], f[2]), pcm_24(f[3], f[4], f[5])]).collect(),
            _ => frames.map(|f| [pcm_16(f[0], f[1]), pcm_16(f[2], f[3])]).collect(),
        })
    }
}

fn pcm_16(low: u8, high: u8) -> f32 {
    f32::from(i16::from_le_bytes([low, high])) / 32_768.0
}

/// Packed 24-bit samples; put in the upper bytes of 32 to keep the sign.
fn pcm_24(low: u8, middle: u8, high: u8) -> f32 {
    i32::from_le_bytes([0, low, middle, high]) as f32 / 2_147_483_648.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_little_endian_left_first() {
        let decoder = Decoder::new(pcm(48_000, 16)).unwrap();
        let frames = decoder.decode(&[0x00, 0x80, 0xff, 0x7f, 0x01, 0x00, 0x00, 0x00]).unwrap();
        assert_eq!(frames, [[-1.0, 32_767.0 / 32_768.0], [1.0 / 32_768.0, 0.0]]);
    }

    #[test]
    fn twenty_four_bits_are_packed() {
        let decoder = Decoder::new(pcm(48_000, 24)).unwrap();
        let frames = decoder.decode(&[0x00, 0x00, 0x80, 0x01, 0x00, 0x00]).unwrap();
        assert_eq!(frames, [[-1.0, 1.0 / 8_388_608.0]]);
    }

    #[test]
    fn half_a_frame_is_an_error() {
        let decoder = Decoder::new(pcm(48_000, 16)).unwrap();
        assert_eq!(
            decoder.decode(&[0; 6]),
            Err(DecodeError::PartialFrame { bytes: 6, frame_bytes: 4 })
        );
    }

    #[test]
    fn what_was_not_offered_is_refused() {
        let format = AudioFormat { codec: Codec::Flac, ..pcm(48_000, 16) };
        assert!(matches!(Decoder::new(format), Err(DecodeError::Format(_))));
        assert!(Decoder::new(AudioFormat { sample_rate: 0, ..pcm(48_000, 16) }).is_err());
    }
}
