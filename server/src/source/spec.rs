//! What the user may write after `--source`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::playlist;

/// One source, as named on the command line or in a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// The built-in track, written `demo`. A file of that name is reached as `./demo`.
    Demo,
    /// The built-in metronome, written `metronome`. A file of that name is reached as `./metronome`.
    Metronome,
    /// An audio file.
    File(PathBuf),
    /// All music in a folder and the folders below it.
    Directory(PathBuf),
    /// A playlist: M3U, M3U8, PLS or XSPF, by its name.
    Playlist(PathBuf),
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
    #[error(
        "the source is empty; expected an audio file, a folder, a playlist, `demo` or `metronome`"
    )]
    Empty,
    /// There is no command after `exec:`.
    #[error("the command is empty; expected `exec:` and a command that writes audio")]
    NoCommand,
}

impl FromStr for SourceSpec {
    type Err = SpecError;

    /// Reads the value only: whatever it names is opened by [`super::open`]. A folder is told from a file by looking.
    fn from_str(value: &str) -> Result<Self, SpecError> {
        if value.trim().is_empty() {
            return Err(SpecError::Empty);
        }
        match value {
            "demo" => return Ok(Self::Demo),
            "metronome" => return Ok(Self::Metronome),
            "-" => return Ok(Self::Stdin),
            _ => {}
        }
        if has_scheme(value, "exec:") {
            let command = value["exec:".len()..].trim();
            let found = || Self::Exec(command.to_owned());
            return (!command.is_empty()).then(found).ok_or(SpecError::NoCommand);
        }
        if is_web(value) {
            return Ok(Self::Http(value.to_owned()));
        }
        let path = Path::new(value);
        Ok(if path.is_dir() {
            Self::Directory(path.to_owned())
        } else if playlist::Kind::of(path).is_some() {
            Self::Playlist(path.to_owned())
        } else if is_fifo(path) {
            Self::Fifo(path.to_owned())
        } else {
            Self::File(path.to_owned())
        })
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

/// Whether it is an address on the web.
pub(super) fn is_web(value: &str) -> bool {
    has_scheme(value, "http://") || has_scheme(value, "https://")
}

fn has_scheme(value: &str, scheme: &str) -> bool {
    value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}
