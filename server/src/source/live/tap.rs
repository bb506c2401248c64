//! Remembers the beginning of a stream, so that somebody else can begin again.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symphonia::core::io::MediaSource;

use super::process::is_foreign;
use crate::source::Fault;

/// Most bytes that are remembered, more than a probe looks at.
const BYTES_MAX: usize = 2 << 20;

/// A stream whose beginning is kept. Clones read from the same.
#[derive(Clone)]
pub(super) struct Tap(Arc<Mutex<Inner>>);

struct Inner {
    bytes: Box<dyn Read + Send>,
    /// What was read; `None` when it is too much or not needed any more.
    begun: Option<Vec<u8>>,
    is_empty: bool,
    error: Option<io::Error>,
}

impl Tap {
    /// Reads from `bytes`.
    pub(super) fn new(bytes: Box<dyn Read + Send>) -> Self {
        let inner = Inner { bytes, begun: Some(Vec::new()), is_empty: true, error: None };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody will begin again.
    pub(super) fn forget(&self) {
        self.inner().begun = None;
    }

    /// Whether nothing has come.
    pub(super) fn is_empty(&self) -> bool {
        self.inner().is_empty
    }

    /// Whether ffmpeg may know what gave us `fault`.
    pub(super) fn is_foreign(&self, fault: &Fault) -> bool {
        self.inner().begun.as_ref().is_some_and(|begun| is_foreign(begun, fault))
    }

    /// The error that ended the reading.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.inner().error.take()
    }

    /// What was read, and the rest. `None` if that was more than is remembered.
    pub(super) fn take_all(&self) -> Option<(Vec<u8>, Box<dyn Read + Send>)> {
        let mut inner = self.inner();
        let begun = inner.begun.take()?;
        Some((begun, std::mem::replace(&mut inner.bytes, Box::new(io::empty()))))
    }

    /// The stream, of which nothing was read yet.
    pub(super) fn into_inner(self) -> Box<dyn Read + Send> {
        std::mem::replace(&mut self.inner().bytes, Box::new(io::empty()))
    }
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        let count = match inner.bytes.read(buffer) {
            Ok(count) => count,
            Err(error) => {
                let shown = io::Error::new(error.kind(), error.to_string());
                inner.error = Some(shown);
                return Err(error);
            }
        };
        inner.is_empty &= count == 0;
        let fits = |begun: &&mut Vec<u8>| begun.len() + count <= BYTES_MAX;
        match inner.begun.as_mut().filter(fits) {
            Some(begun) => begun.extend_from_slice(&buffer[..count]),
            None => inner.begun = None,
        }
        Ok(count)
    }
}

impl Seek for Tap {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl MediaSource for Tap {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}
