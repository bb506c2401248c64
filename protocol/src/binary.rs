//! Binary messages: audio chunks, pictures, figures of the sound.
//!
//! Source: Sendspin wire reference, section 3. Multi-byte integers are big-endian; timestamps are signed
//! 64-bit microseconds on the server's clock. (PCM payload, in contrast, is little-endian.)

mod artwork;
mod visualizer;

use thiserror::Error;

pub use self::artwork::{ARTWORK, Artwork};
pub use self::visualizer::{Bands, Figure, VISUALIZER, VisualizerFrame};
use crate::time::ServerTime;

/// Message id of a player's audio chunk (section 3.1).
pub const AUDIO_CHUNK: u8 = 4;

/// Bytes before the audio in a clear-text chunk: the id and the timestamp (section 3.2).
pub const AUDIO_HEADER_BYTES: usize = HEADER_BYTES;

/// Bytes before the content of any clear-text message: the id and the timestamp.
pub const HEADER_BYTES: usize = 9;

/// Longest audio that one chunk may carry, in milliseconds (section 5.1).
pub const CHUNK_MILLIS_MAX: u32 = 150;

/// A binary message from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryMessage<'a> {
    /// Audio for the player role.
    Audio(AudioChunk<'a>),
    /// A picture for the artwork role.
    Artwork(Artwork<'a>),
    /// A figure for the visualizer role.
    Visualizer(VisualizerFrame<'a>),
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
    /// A picture's message ends before its timestamp does.
    #[error("artwork of {got} bytes: expected a header of {HEADER_BYTES} bytes")]
    ShortArtwork {
        /// Bytes that came.
        got: usize,
    },
    /// A figure does not fit its type.
    #[error(
        "visualizer frame {id} of {got} bytes: expected a header of {HEADER_BYTES} bytes and its figures"
    )]
    ShortFrame {
        /// The first byte of the message.
        id: u8,
        /// Bytes that came.
        got: usize,
    },
}

impl<'a> BinaryMessage<'a> {
    /// Splits `bytes`, one whole WebSocket binary message, without copying.
    ///
    /// # Errors
    ///
    /// [`BinaryError`] when the message is empty or too short for its id.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BinaryError> {
        let (&id, rest) = bytes.split_first().ok_or(BinaryError::Empty)?;
        let got = bytes.len();
        let stamped = rest.split_first_chunk::<8>();
        let stamped = stamped
            .map(|(stamp, rest)| (ServerTime::from_micros(i64::from_be_bytes(*stamp)), rest));
        match (id, stamped) {
            (AUDIO_CHUNK, Some((play_at, audio))) if !audio.is_empty() => {
                Ok(Self::Audio(AudioChunk { play_at, audio }))
            }
            (AUDIO_CHUNK, _) => Err(BinaryError::ShortAudio { got }),
            (id, stamped) if ARTWORK.contains(&id) => {
                let (show_at, image) = stamped.ok_or(BinaryError::ShortArtwork { got })?;
                Ok(Self::Artwork(Artwork { channel: id - ARTWORK.start(), show_at, image }))
            }
            (id, stamped) if VISUALIZER.contains(&id) => {
                let frame =
                    stamped.and_then(|(at, figures)| VisualizerFrame::read(id, at, figures));
                frame.map(Self::Visualizer).ok_or(BinaryError::ShortFrame { id, got })
            }
            (id, _) => Ok(Self::Unknown { id }),
        }
    }
}

/// A buffer that holds the id and the timestamp, and has room for `bytes` more.
fn begin(id: u8, time: ServerTime, bytes: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_BYTES + bytes);
    message.push(id);
    message.extend_from_slice(&time.as_micros().to_be_bytes());
    message
}

/// Begins an audio chunk: a buffer that holds the header and has room for `audio_bytes` of audio.
///
/// The encoder appends the audio, so the bytes are laid down once, where they are sent from.
#[must_use]
pub fn begin_audio_chunk(play_at: ServerTime, audio_bytes: usize) -> Vec<u8> {
    begin(AUDIO_CHUNK, play_at, audio_bytes)
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
        for id in [0, 5, 7, 12, 15, 21, 255] {
            assert_eq!(BinaryMessage::decode(&[id]), Ok(BinaryMessage::Unknown { id }));
        }
    }

    #[test]
    fn what_does_not_fit_its_id_is_named() {
        assert_eq!(BinaryMessage::decode(&[8; 8]), Err(BinaryError::ShortArtwork { got: 8 }));
        for (id, bytes) in [(16, 1), (17, 0), (18, 3), (19, 0), (19, 3), (20, 0)] {
            let got = HEADER_BYTES + bytes;
            let error = Err(BinaryError::ShortFrame { id, got });
            assert_eq!(BinaryMessage::decode(&vec![id; got]), error);
        }
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
        fn a_picture_comes_back_as_it_was_sent(
            channel in 0_u8..4, show_at: i64, image in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let artwork = Artwork { channel, show_at: ServerTime::from_micros(show_at), image: &image };
            let bytes = artwork.encode();
            prop_assert_eq!(BinaryMessage::decode(&bytes), Ok(BinaryMessage::Artwork(artwork)));
        }

        #[test]
        fn a_figure_comes_back_as_it_was_sent(
            at: i64, kind in 0..5, words: [u16; 2], flag: bool, bands in prop::collection::vec(any::<u16>(), 1..80),
        ) {
            let bytes: Vec<u8> = bands.iter().flat_map(|band| band.to_be_bytes()).collect();
            let figure = match kind {
                0 => Figure::Loudness(words[0]),
                1 => Figure::Beat { downbeat: flag },
                2 => Figure::FPeak { hz: words[0], amplitude: words[1] },
                3 => Figure::Spectrum(Bands(&bytes)),
                _ => Figure::Peak(words[0] as u8),
            };
            let frame = VisualizerFrame { at: ServerTime::from_micros(at), figure };
            let message = frame.encode();
            prop_assert_eq!(BinaryMessage::decode(&message), Ok(BinaryMessage::Visualizer(frame)));
            prop_assert!(Bands(&bytes).levels().eq(bands));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = BinaryMessage::decode(&bytes);
        }
    }
}
