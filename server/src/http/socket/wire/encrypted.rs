//! Encryption of a connection that nobody waits for: one writes whose turn it is, another reads.

use std::io::{self, IoSlice, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::ServerConnection;
use tokio::net::TcpStream;

/// Plain bytes that are encrypted before the system has taken those before them: one record (RFC 8446, 5.1).
///
/// What is encrypted cannot be overtaken by a time reply any more. Less than a record would cost more for each byte.
const AHEAD_BYTES_MAX: usize = 16 << 10;

/// What both sides agreed on, and what is on its way between the two forms.
#[derive(Debug)]
pub(super) struct Encryption(Mutex<ServerConnection>);

impl Encryption {
    pub(super) fn new(mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(AHEAD_BYTES_MAX));
        Self(Mutex::new(session))
    }

    pub(super) fn try_read(&self, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session();
        loop {
            match session.reader().read(buffer) {
                // Nothing more is decrypted.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            session.read_tls(&mut Raw(stream))?;
            if let Err(error) = session.process_new_packets() {
                // The peer is told why, if that can be done at once.
                let _ = flush(&mut session, stream);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }

    pub(super) fn try_write_vectored(
        &self,
        stream: &TcpStream,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let mut session = self.session();
        if !flush(&mut session, stream)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = session.writer().write_vectored(slices)?;
        // What the system does not take now is for the next call.
        flush(&mut session, stream)?;
        Ok(taken)
    }

    pub(super) fn try_flush(&self, stream: &TcpStream) -> io::Result<bool> {
        flush(&mut self.session(), stream)
    }

    /// Says that nothing more will come, if that can be done at once: without it, the end could be somebody else's doing
    /// (RFC 8446, 6.1).
    pub(super) fn farewell(&self, stream: &TcpStream) {
        let mut session = self.session();
        session.send_close_notify();
        let _ = flush(&mut session, stream);
    }

    fn session(&self) -> MutexGuard<'_, ServerConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands the system what is encrypted. Returns whether it took all of it.
fn flush(session: &mut ServerConnection, stream: &TcpStream) -> io::Result<bool> {
    while session.wants_write() {
        match session.write_tls(&mut Raw(stream)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// The socket, for a library that reads and writes itself.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
