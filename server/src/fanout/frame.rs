//! Messages as WebSocket frames, as a server sends them: whole and unmasked (RFC 6455, 5.1 and 5.2).

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Longest header of an unmasked frame, bytes.
const HEADER_BYTES_MAX: usize = 10;

/// A text message.
pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(OpCode::Data(Data::Text), text.as_bytes())
}

/// A binary message, and where in the frame it begins.
pub(crate) fn binary(message: &[u8]) -> (Vec<u8>, usize) {
    let frame = frame(OpCode::Data(Data::Binary), message);
    let begins = frame.len() - message.len();
    (frame, begins)
}

/// A ping without content.
pub(crate) fn ping() -> Vec<u8> {
    frame(OpCode::Control(Control::Ping), &[])
}

/// A close. `reason` has at most 123 bytes.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(OpCode::Control(Control::Close), &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES_MAX + payload.len());
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    header.format(payload.len() as u64, &mut frame).expect("a vector takes any number of bytes");
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, 5.7 has the first two.
    #[test]
    fn frames_are_as_the_standard_has_them() {
        assert_eq!(text("Hello"), *b"\x81\x05Hello");
        assert_eq!(binary(&[7; 256]).0[..5], [0x82, 0x7e, 1, 0, 7]);
        assert_eq!(binary(&vec![7; 65_536]).0[..11], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0, 7]);
        assert_eq!(binary(&[7; 125]).1, 2);
        assert_eq!(ping(), [0x89, 0]);
        assert_eq!(close(1_001, "bye"), *b"\x88\x05\x03\xe9bye");
    }
}
