//! What origin and edge say to each other.
//!
//! Control is JSON; a chunk is the binary message that listeners get, unchanged, and a header beside it. Everything is
//! checked for its size before it is looked at.

use protocol::binary::BinaryMessage;
use protocol::message::ServerTimeReply;
use protocol::time::ServerTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fanout::chunk::Chunk;
use crate::group::Program;
use crate::group::players::{Call, LIST_BYTES_MAX, Roll};
use crate::pipeline::encoder::WireFormat;
use crate::pipeline::timeline::Stamp;
use crate::rights::Rules;
use crate::source::PictureId;

/// Version of what is said here. The two must have the same.
pub(crate) const VERSION: u32 = 3;

/// Longest control message, in bytes. A state with all tracks it can hold, and a list of players, have less.
pub(crate) const CONTROL_BYTES_MAX: usize = (256 << 10) + LIST_BYTES_MAX;

/// Most chunks of an answer to [`Fetch`]. A quarter of a megabyte: no more than what may well be on its way unasked.
pub(crate) const FETCH_MAX: u32 = 8;

/// Longest name of an edge, in characters.
const NAME_CHARS_MAX: usize = 80;

/// Why something that came is not used. Shows as one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum WireError {
    /// More than anything valid has.
    #[error("{bytes} bytes; expected at most {max}")]
    TooLong {
        /// What came.
        bytes: usize,
        /// What may.
        max: usize,
    },
    /// Not what was expected.
    #[error("not understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version.
    #[error(
        "it speaks version {theirs} of the edge protocol, this server version {VERSION}: run the same release on both"
    )]
    Version {
        /// What the other side has.
        theirs: u32,
    },
    /// Not a chunk.
    #[error("not a chunk in {0:?}")]
    Chunk(WireFormat),
}

/// What an edge says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// For people, in logs. Two edges of one name are two edges.
    pub(crate) name: String,
    /// Clients with an active player.
    pub(crate) listeners: u32,
    /// The state that it has: the origin's instance, and the edition of it.
    pub(crate) has: Option<(u64, u64)>,
    /// Its players, after so many calls.
    pub(crate) players: (Roll, u64),
}

/// What an origin says to that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// Clients with an active player that are not the edge's.
    pub(crate) elsewhere: u32,
    /// Players that are not the edge's, and after how many calls it was so.
    pub(crate) players: (Roll, u64),
    /// Number of the next chunk to be made.
    pub(crate) head: u64,
    /// Which origin this is: another one after a restart.
    pub(crate) instance: u64,
    /// The party's state, if the edge does not have it.
    pub(crate) state: Option<State>,
}

/// What an origin says to an edge that it cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// For people.
    pub(crate) reason: String,
}

/// What all listeners see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Which origin this is.
    pub(crate) instance: u64,
    /// Counts the changes.
    pub(crate) edition: u64,
    /// The origin's id, which its edges go by as well: to a player they are one server.
    pub(crate) server_id: String,
    /// The party's name.
    pub(crate) name: String,
    /// Who may do what.
    pub(crate) rules: Rules,
    /// The group's id.
    pub(crate) group_id: String,
    /// What plays.
    pub(crate) program: Program,
}

/// Asks something of all players.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallMessage {
    /// Which origin this is.
    pub(crate) instance: u64,
    /// Counts them.
    pub(crate) number: u64,
    /// What.
    pub(crate) call: Call,
}

/// Asks for chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetch {
    /// The first that is wanted.
    pub(crate) from: u64,
    /// The first that is not wanted; no more than [`FETCH_MAX`] come.
    pub(crate) to: u64,
    /// What has been heard by then is not wanted.
    pub(crate) after: ServerTime,
}

/// Most bytes of an answer to [`PictureRequest`]: about a chunk's, which nothing urgent waits long behind.
pub(crate) const PIECE_BYTES: usize = 32 << 10;

/// Asks for a piece of a picture. The answer has [`PIECE_BYTES`], or what is left, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PictureRequest {
    /// Its name.
    pub(crate) id: PictureId,
    /// The first byte that is wanted.
    pub(crate) from: usize,
}

/// Asks for the time. The stamp is on the edge's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimeRequest {
    /// When it was sent.
    pub(crate) client_transmitted: protocol::time::ClientTime,
}

/// What an origin says to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimeReply {
    /// Which origin's clock it is.
    pub(crate) instance: u64,
    /// Both ends' stamps.
    pub(crate) stamps: ServerTimeReply,
}

/// Which chunk it is, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    /// Which origin made it.
    pub(crate) instance: u64,
    /// Counts the chunks of that origin.
    pub(crate) number: u64,
    /// Which epoch of the timeline it belongs to.
    pub(crate) epoch: u32,
    /// How often before it what was ahead became void: what came before a cut is not heard after it.
    pub(crate) cuts: u64,
    /// When its last frame has been heard: its length in microseconds is not whole.
    pub(crate) end: ServerTime,
}

/// Bytes of a [`ChunkHeader`].
const HEADER_BYTES: usize = 36;

impl ChunkHeader {
    /// As it is sent: big-endian, in the order of the fields.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.instance.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.cuts.to_be_bytes());
        bytes[28..].copy_from_slice(&self.end.as_micros().to_be_bytes());
        bytes
    }

    /// Reads what [`ChunkHeader::encode`] made. `None` for anything of another length.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (instance, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (cuts, rest) = rest.split_first_chunk()?;
        let end: [u8; 8] = rest.try_into().ok()?;
        Some(Self {
            instance: u64::from_be_bytes(*instance),
            number: u64::from_be_bytes(*number),
            epoch: u32::from_be_bytes(*epoch),
            cuts: u64::from_be_bytes(*cuts),
            end: ServerTime::from_micros(i64::from_be_bytes(end)),
        })
    }
}

/// Makes a chunk of what came: `message` in `format`.
///
/// # Errors
///
/// [`WireError::Chunk`] when it is no whole chunk of that format, or its end does not follow from its frames.
pub(crate) fn chunk(
    format: WireFormat,
    header: &ChunkHeader,
    message: &[u8],
) -> Result<Chunk, WireError> {
    let wrong = || WireError::Chunk(format);
    let audio_format = format.audio_format();
    let BinaryMessage::Audio(audio) = BinaryMessage::decode(message).map_err(|_| wrong())? else {
        return Err(wrong());
    };
    let frames = audio.audio.len() / audio_format.frame_bytes();
    let span_us = (header.end - audio.play_at).as_micros();
    let frames_us = frames as i64 * 1_000_000 / i64::from(audio_format.sample_rate);
    let is_whole = frames > 0
        && format.message_bytes(frames) == message.len()
        && message.len() <= format.message_bytes_max()
        && (frames_us..=frames_us + 1).contains(&span_us);
    if !is_whole {
        return Err(wrong());
    }
    let (play_at, epoch) = (audio.play_at, header.epoch);
    let stamp = Stamp { play_at, end: header.end, epoch, is_late: false };
    Ok(Chunk::made(format, message, frames, stamp))
}

/// A control message as it is sent.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("plain data with text keys")
}

/// Reads a control message.
///
/// # Errors
///
/// [`WireError::TooLong`] and [`WireError::Malformed`].
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > CONTROL_BYTES_MAX {
        return Err(WireError::TooLong { bytes: bytes.len(), max: CONTROL_BYTES_MAX });
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Reads a message that begins with a version: another one is told before anything else is looked at.
///
/// # Errors
///
/// Those of [`decode`], and [`WireError::Version`].
pub(crate) fn decode_versioned<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = decode(bytes)?;
    if version != VERSION {
        return Err(WireError::Version { theirs: version });
    }
    decode(bytes)
}

/// A name that fits into a line of a log.
pub(crate) fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture;
    use proptest::prelude::*;

    fn header(chunk: &Chunk) -> ChunkHeader {
        ChunkHeader { instance: 1, number: 2, epoch: 3, cuts: 4, end: chunk.end() }
    }

    #[test]
    fn a_chunk_arrives_as_it_left() {
        for format in WireFormat::ALL {
            let sent = fixture::chunk(fixture::at(1_234), 3);
            let came = chunk(format, &header(&sent), &sent.message(format)).expect("a chunk");
            assert_eq!(came.message(format), sent.message(format));
            assert_eq!(came.frame(format), sent.frame(format));
            assert_eq!((came.play_at(), came.end()), (sent.play_at(), sent.end()));
            assert_eq!((came.epoch(), came.message_bytes(format)), (3, sent.message_bytes(format)));
        }
    }

    #[test]
    fn what_is_no_chunk_is_told() {
        let sent = fixture::chunk(fixture::at(0), 0);
        let message = sent.message(WireFormat::Pcm16);
        let good = header(&sent);
        let late = ChunkHeader { end: fixture::at(90), ..good };
        assert!(chunk(WireFormat::Pcm16, &late, &message).is_err());
        assert!(chunk(WireFormat::Pcm16, &good, &message[..message.len() - 1]).is_err());
        assert!(chunk(WireFormat::Pcm24, &good, &message).is_err());
        assert!(chunk(WireFormat::Pcm16, &good, &[]).is_err());
        assert!(chunk(WireFormat::Pcm16, &good, &vec![4; 60_000]).is_err());
    }

    #[test]
    fn another_version_is_told_before_its_content() {
        let error = decode_versioned::<Report>(br#"{"version":1,"old":"words"}"#).err();
        let text = error.expect("refused").to_string();
        assert!(text.contains("version 1") && text.contains("version 3"), "{text}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_versioned::<Answer>(&bytes);
            let _ = decode::<State>(&bytes);
            let _ = decode::<CallMessage>(&bytes);
            if let Some(header) = ChunkHeader::decode(&bytes) {
                prop_assert_eq!(header.encode().to_vec(), bytes.clone());
                let _ = chunk(WireFormat::Pcm16, &header, &bytes);
            }
        }
    }
}
