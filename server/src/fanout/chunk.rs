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
    cut: Cut,
    stamp: Stamp,
    encoded: [OnceLock<Encoded>; WireFormat::ALL.len()],
}

/// A chunk's bytes in one format.
#[derive(Debug)]
struct Encoded {
    /// As it goes to the socket.
    frame: Bytes,
    /// Where in that the message begins.
    message: usize,
}

impl Chunk {
    /// Joins samples and their time.
    pub(crate) fn new(cut: Cut, stamp: Stamp) -> Self {
        Self { cut, stamp, encoded: Default::default() }
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
        format.message_bytes(self.cut.samples.len() / CHANNELS) as u64
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
            let block = Block {
                first: self.cut.first,
                samples: &self.cut.samples,
                resolution_bits: self.cut.resolution_bits,
            };
            let (frame, message) = frame::binary(&encode(format, self.stamp.play_at, block));
            Encoded { frame: frame.into(), message }
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
