//! A WebSocket that is read as cheaply as can be, so that thousands fit into the core that the server leaves.
//!
//! Messages are looked at where the system put them. The frames are those that a server sends: whole and unmasked.

use std::cell::RefCell;
use std::io::ErrorKind;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// What is read at a time, bytes: more than a round's chunks.
const READ_BYTES: usize = 256 << 10;
/// Longest answer to the handshake.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// Where messages are read to: one for all that share a thread.
pub(super) type Desk = RefCell<Vec<u8>>;

/// A desk with room.
pub(super) fn desk() -> Desk {
    RefCell::new(vec![0; READ_BYTES])
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message<'a> {
    Binary(&'a [u8]),
    Text,
    Ping,
    /// Code and reason.
    Close(&'a [u8]),
}

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// A message that has not come to its end.
    rest: Vec<u8>,
}

impl Wire {
    /// Opens one at `ws://HOST:PORT/PATH`. The system keeps so many bytes that have not been read, if that is said.
    pub(super) async fn connect(url: &str, kept: Option<u32>) -> Result<Self> {
        let address = url.strip_prefix("ws://").context("not ws://")?;
        let (host, path) = address.split_once('/').context("no path")?;
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = kept {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(host.parse()?).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        // Nothing follows the head before a hello has been sent.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            ensure!(answer.len() < HEAD_BYTES_MAX, "an endless answer");
            ensure!(stream.read_buf(&mut answer).await? > 0, "no answer");
        }
        ensure!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Ok(Self { stream, rest: Vec::new() })
    }

    /// Sends a text message. Its mask is zero, which changes nothing.
    pub(super) async fn send(&mut self, message: &Value) -> Result<()> {
        let text = message.to_string();
        let mut frame = vec![0x81];
        match u16::try_from(text.len())? {
            short @ ..126 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0xfe);
                frame.extend(long.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Waits for messages and hands out all that have come.
    pub(super) async fn receive(
        &mut self,
        desk: &Desk,
        mut take: impl FnMut(Message<'_>) -> Result<()>,
    ) -> Result<()> {
        self.stream.readable().await?;
        let desk = &mut *desk.borrow_mut();
        let known = self.rest.len();
        ensure!(known < desk.len(), "a message of {known} bytes and more");
        desk[..known].copy_from_slice(&self.rest);
        let read = match self.stream.try_read(&mut desk[known..]) {
            Ok(0) => bail!("the connection ended"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut unread = &desk[..known + read];
        while let Some((opcode, payload, after)) = frame(unread) {
            unread = after;
            take(match opcode {
                0x81 => Message::Text,
                0x82 => Message::Binary(payload),
                0x88 => Message::Close(payload),
                0x89 => Message::Ping,
                other => bail!("a frame that begins with {other:#x}"),
            })?;
        }
        self.rest.clear();
        self.rest.extend_from_slice(unread);
        Ok(())
    }
}

/// First byte and payload of the first frame, and what follows it. `None` when its end has not come.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&opcode, bytes) = bytes.split_first()?;
    let (&length, bytes) = bytes.split_first()?;
    let (length, bytes) = match length {
        126 => {
            let (length, bytes) = bytes.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), bytes)
        }
        127 => {
            let (length, bytes) = bytes.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), bytes)
        }
        length => (u64::from(length), bytes),
    };
    let (payload, after) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((opcode, payload, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_wherever_they_are_cut() {
        let long = [&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        let both = [&[0x89, 0][..], &long].concat();
        let (opcode, payload, after) = frame(&both).unwrap();
        assert_eq!((opcode, payload.len(), after), (0x89, 0, &long[..]));
        let (opcode, payload, after) = frame(after).unwrap();
        assert_eq!((opcode, payload, after), (0x82, &[7; 256][..], &[][..]));
        for end in 0..long.len() {
            assert!(frame(&long[..end]).is_none(), "{end}");
        }
    }
}
