//! The socket below a connection, encrypted or not. Nothing here waits.

#[cfg(feature = "tls")]
mod encrypted;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::Interest;
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use self::encrypted::Encryption;

/// One socket.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    #[cfg(feature = "tls")]
    encryption: Option<Encryption>,
}

impl Wire {
    /// What is below an upgraded connection, and what has been read of it already. `None` if it is nothing that was accepted.
    pub(super) fn of(upgraded: Upgraded) -> Option<(Self, Bytes)> {
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(Parts { io, read_buf, .. }) => {
                let wire = Self {
                    stream: io.into_inner(),
                    #[cfg(feature = "tls")]
                    encryption: None,
                };
                return Some((wire, read_buf));
            }
            Err(other) => other,
        };
        #[cfg(feature = "tls")]
        {
            use tokio_rustls::server::TlsStream;
            let Parts { io, read_buf, .. } =
                upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>().ok()?;
            let (stream, session) = io.into_inner().into_inner();
            Some((Self { stream, encryption: Some(Encryption::new(session)) }, read_buf))
        }
        #[cfg(not(feature = "tls"))]
        {
            drop(upgraded);
            None
        }
    }

    /// Reads what is there.
    ///
    /// # Errors
    ///
    /// The system's, [`io::ErrorKind::WouldBlock`] among them, and that it is not encrypted as it should be.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(encryption) = &self.encryption {
            return encryption.try_read(&self.stream, buffer);
        }
        self.stream.try_read(buffer)
    }

    /// Whether it is worth to try, after nothing was there.
    pub(super) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(context)
    }

    /// Hands over what is taken at once.
    ///
    /// # Errors
    ///
    /// The system's, [`io::ErrorKind::WouldBlock`] among them.
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(encryption) = &self.encryption {
            return encryption.try_write_vectored(&self.stream, slices);
        }
        self.stream.try_write_vectored(slices)
    }

    /// Hands over what was taken but is not the system's yet. Returns whether that was all of it.
    ///
    /// # Errors
    ///
    /// The system's.
    #[cfg_attr(
        not(feature = "tls"),
        allow(
            clippy::unused_self,
            clippy::unnecessary_wraps,
            reason = "what is not encrypted is written at once"
        )
    )]
    pub(super) fn try_flush(&self) -> io::Result<bool> {
        #[cfg(feature = "tls")]
        if let Some(encryption) = &self.encryption {
            return encryption.try_flush(&self.stream);
        }
        Ok(true)
    }

    /// Whether the system takes more, as far as is known without asking it.
    pub(super) fn has_room(&self) -> bool {
        self.stream.try_io(Interest::WRITABLE, || Ok(())).is_ok()
    }

    /// Waits until the system takes more.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }
}

#[cfg(feature = "tls")]
impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(encryption) = &self.encryption {
            encryption.farewell(&self.stream);
        }
    }
}
