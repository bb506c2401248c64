//! A chunk: samples with a time, encoded at most once for each format.

use std::sync::OnceLock;

use bytes::Bytes;
use protocol::time::{ServerSpan, ServerTime};

use super::frame;
use crate::pipeline::chunker::Cut;
use crate::pipeline::encoder::{Block, WireFormat, encode};
use crate::pipeline::timeline::Stamp;
use crate::source::CHANNELS;

/// A stretch of audio that all listeners share.
#[derive(Debug)]
pub(crate) struct Chunk {
    stamp: Stamp,
    frames: usize,
    /// What it is made of. An edge has bytes only.
    cut: Option<Cut>,
    encoded: [OnceLock<Encoded>; WireFormat::ALL.len()],
}

/// A chunk's bytes in one format.
#[derive(Debug, Default)]
struct Encoded {
    /// As it goes to the socket.
    frame: Bytes,
    /// Where in that the message begins.
    message: usize,
}

impl Encoded {
    fn new(message: &[u8]) -> Self {
        let (frame, message) = frame::binary(message);
        Self { frame: frame.into(), message }
    }
}

impl Chunk {
    /// Joins samples and their time.
    pub(crate) fn new(cut: Cut, stamp: Stamp) -> Self {
        let frames = cut.samples.len() / CHANNELS;
        Self { stamp, frames, cut: Some(cut), encoded: Default::default() }
    }

    /// A chunk that is there in `format` only, as the origin made it: this whole binary message of `frames` frames.
    pub(crate) fn made(format: WireFormat, message: &[u8], frames: usize, stamp: Stamp) -> Self {
        let encoded: [OnceLock<Encoded>; WireFormat::ALL.len()] = Default::default();
        let made = Encoded::new(message);
        encoded[format as usize].get_or_init(|| made);
        Self { stamp, frames, cut: None, encoded }
    }

    /// What it is made of, where it was made.
    pub(crate) fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// When its first frame is heard.
    pub(crate) fn play_at(&self) -> ServerTime {
        self.stamp.play_at
    }

    /// When its last frame has been heard.
    pub(crate) fn end(&self) -> ServerTime {
        self.stamp.end
    }

    /// How long it lasts.
    pub(crate) fn duration(&self) -> ServerSpan {
        self.stamp.end - self.stamp.play_at
    }

    /// Which epoch of the timeline it belongs to.
    pub(crate) fn epoch(&self) -> u32 {
        self.stamp.epoch
    }

    /// Bytes of [`Chunk::message`], without encoding it.
    pub(crate) fn message_bytes(&self, format: WireFormat) -> u64 {
        format.message_bytes(self.frames) as u64
    }

    /// Whether the bytes in `format` have been made.
    pub(crate) fn is_encoded(&self, format: WireFormat) -> bool {
        self.encoded[format as usize].get().is_some()
    }

    /// The WebSocket frame in `format`. The first caller encodes, the others share the bytes.
    pub(crate) fn frame(&self, format: WireFormat) -> Bytes {
        self.encoded(format).frame.clone()
    }

    /// The whole binary message in `format`: the frame without its header.
    pub(crate) fn message(&self, format: WireFormat) -> Bytes {
        let encoded = self.encoded(format);
        encoded.frame.slice(encoded.message..)
    }

    fn encoded(&self, format: WireFormat) -> &Encoded {
        self.encoded[format as usize].get_or_init(|| {
            // Without samples it stands in the ring of its own format only, and nobody asks for another.
            let Some(cut) = &self.cut else { return Encoded::default() };
            let block = Block {
                first: cut.first,
                samples: &cut.samples,
                resolution_bits: cut.resolution_bits,
            };
            Encoded::new(&encode(format, self.stamp.play_at, block))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::{at, chunk};

    #[test]
    fn every_listener_of_a_format_shares_the_same_bytes() {
        let chunk = chunk(at(1), 0);
        for format in WireFormat::ALL {
            let first = chunk.message(format);
            assert_eq!(first.len() as u64, chunk.message_bytes(format));
            assert_eq!(first.as_ptr(), chunk.message(format).as_ptr());
        }
        assert_ne!(chunk.message(WireFormat::Pcm16), chunk.message(WireFormat::Pcm24));
    }
}
