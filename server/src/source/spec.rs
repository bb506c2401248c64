//! What the user may write after `--source`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One source, as named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// The built-in track, written `demo`. A file of that name is reached as `./demo`.
    Demo,
    /// The built-in metronome, written `metronome`. A file of that name is reached as `./metronome`.
    Metronome,
    /// An audio file.
    File(PathBuf),
    /// An audio file or a radio station on the web, an address that begins with `http://` or `https://`.
    Http(String),
    /// Standard input, written `-`.
    Stdin,
    /// A named pipe.
    Fifo(PathBuf),
    /// A command that writes sound, written after `exec:`.
    Exec(String),
}

/// Why a `--source` value cannot be used. Shows as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The value was empty.
    #[error("the source is empty; expected an audio file, `demo` or `metronome`")]
    Empty,
    /// A kind of source that is planned and not there yet.
    #[error(
        "{value}: {kind} as a source is not supported yet; expected an audio file, `demo` or `metronome`"
    )]
    NotYet {
        /// What the user wrote.
        value: String,
        /// What that would be.
        kind: &'static str,
    },
}

impl FromStr for SourceSpec {
    type Err = SpecError;

    /// Reads the value only: the file is looked at by [`super::open`], except that a directory is
    /// named as what it is at once.
    fn from_str(value: &str) -> Result<Self, SpecError> {
        let not_yet = |kind| SpecError::NotYet { value: value.escape_debug().to_string(), kind };
        if value.trim().is_empty() {
            return Err(SpecError::Empty);
        }
        if value == "demo" {
            return Ok(Self::Demo);
        }
        if value == "metronome" {
            return Ok(Self::Metronome);
        }
        if value == "-" {
            return Ok(Self::Stdin);
        }
        if has_scheme(value, "exec:") {
            return Ok(Self::Exec(value["exec:".len()..].to_owned()));
        }
        if has_scheme(value, "http://") || has_scheme(value, "https://") {
            return Ok(Self::Http(value.to_owned()));
        }
        let path = Path::new(value);
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        if ["m3u", "m3u8", "pls", "xspf"].iter().any(|playlist| extension == *playlist) {
            return Err(not_yet("a playlist"));
        }
        if is_fifo(path) {
            return Ok(Self::Fifo(path.to_owned()));
        }
        if path.is_dir() {
            return Err(not_yet("a directory"));
        }
        Ok(Self::File(path.to_owned()))
    }
}

fn is_fifo(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

fn has_scheme(value: &str, scheme: &str) -> bool {
    value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}
