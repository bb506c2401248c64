//! Binary messages: audio chunks.
//!
//! Source: Sendspin wire reference, section 3. Multi-byte integers are big-endian; timestamps are signed
//! 64-bit microseconds on the server's clock. (PCM payload, in contrast, is little-endian.)

use thiserror::Error;

use crate::time::ServerTime;

/// Message id of a player's audio chunk (section 3.1).
pub const AUDIO_CHUNK: u8 = 4;

/// Bytes before the audio in a clear-text chunk: the id and the timestamp (section 3.2).
pub const AUDIO_HEADER_BYTES: usize = 9;

/// Longest audio that one chunk may carry, in milliseconds (section 5.1).
pub const CHUNK_MILLIS_MAX: u32 = 150;

/// A binary message from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryMessage<'a> {
    /// Audio for the player role.
    Audio(AudioChunk<'a>),
    /// An id that this end has no use for. The wire asks that it be ignored.
    Unknown {
        /// The first byte of the message.
        id: u8,
    },
}

/// A piece of a stream that is to be heard at a stated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioChunk<'a> {
    /// When the first frame must leave the output.
    pub play_at: ServerTime,
    /// Encoded audio, at least one byte.
    pub audio: &'a [u8],
}

/// Why bytes are not a binary message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// There is not even an id.
    #[error("empty binary message: expected a message id")]
    Empty,
    /// An audio chunk ends before its audio begins.
    #[error(
        "audio chunk of {got} bytes: expected a header of {AUDIO_HEADER_BYTES} bytes and audio"
    )]
    ShortAudio {
        /// Bytes that came.
        got: usize,
    },
}

impl<'a> BinaryMessage<'a> {
    /// Splits `bytes`, one whole WebSocket binary message, without copying.
    ///
    /// # Errors
    ///
    /// [`BinaryError`] when the message is empty or an audio chunk is too short to hold audio.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BinaryError> {
        let (&id, rest) = bytes.split_first().ok_or(BinaryError::Empty)?;
        if id != AUDIO_CHUNK {
            return Ok(Self::Unknown { id });
        }
        match rest.split_first_chunk::<8>() {
            Some((stamp, audio)) if !audio.is_empty() => Ok(Self::Audio(AudioChunk {
                play_at: ServerTime::from_micros(i64::from_be_bytes(*stamp)),
                audio,
            })),
            _ => Err(BinaryError::ShortAudio { got: bytes.len() }),
        }
    }
}

/// Begins an audio chunk: a buffer that holds the header and has room for `audio_bytes` of audio.
///
/// The encoder appends the audio, so the bytes are laid down once, where they are sent from.
#[must_use]
pub fn begin_audio_chunk(play_at: ServerTime, audio_bytes: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(AUDIO_HEADER_BYTES + audio_bytes);
    message.push(AUDIO_CHUNK);
    message.extend_from_slice(&play_at.as_micros().to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_short_is_an_error_that_says_what_came() {
        assert_eq!(BinaryMessage::decode(&[]), Err(BinaryError::Empty));
        for length in 1..=AUDIO_HEADER_BYTES {
            let bytes = vec![AUDIO_CHUNK; length];
            assert_eq!(BinaryMessage::decode(&bytes), Err(BinaryError::ShortAudio { got: length }));
        }
    }

    #[test]
    fn other_ids_are_left_alone() {
        assert_eq!(BinaryMessage::decode(&[8]), Ok(BinaryMessage::Unknown { id: 8 }));
    }

    proptest! {
        #[test]
        fn a_chunk_comes_back_as_it_was_sent(play_at: i64, audio in prop::collection::vec(any::<u8>(), 1..200)) {
            let play_at = ServerTime::from_micros(play_at);
            let mut bytes = begin_audio_chunk(play_at, audio.len());
            bytes.extend_from_slice(&audio);
            prop_assert_eq!(
                BinaryMessage::decode(&bytes),
                Ok(BinaryMessage::Audio(AudioChunk { play_at, audio: &audio }))
            );
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = BinaryMessage::decode(&bytes);
        }
    }
}
