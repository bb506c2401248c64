//! Finds the music in a folder and all folders below it.
//!
//! A folder that links lead to more than once is looked through once, so that no circle of links can hold it up.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::{SourceName, natural};

/// How deep folders may lie in each other. Nobody sorts music deeper.
const DEPTH_MAX: usize = 32;

/// Most names looked at, music or not. Some 10 MB of names, and a few seconds on a slow disk.
const NAMES_MAX: usize = 200_000;

/// What music files are called at their end. The last line is what can be played only by help from outside: it is
/// listed too, so that a person is told and does not search.
const EXTENSIONS: [&str; 24] = [
    "flac", "mp3", "m4a", "m4b", "mp4", "aac", "ogg", "oga", "wav", "wave", "aif", "aiff", //
    "aifc", "alac", "mp2", "mp1", "opus", "wma", "ape", "wv", "mka", "webm", "ac3", "dsf",
];

/// The music files under `root`, in natural order, folder by folder: `max` at most. What cannot be looked at is left
/// out with a warning, as is what is hidden, without one.
///
/// # Errors
///
/// The system's, when `root` itself cannot be looked at.
pub(super) fn walk(root: &Path, max: usize) -> io::Result<Vec<PathBuf>> {
    let mut walk = Walk { max, ..Walk::default() };
    let names = walk.names(root)?;
    walk.folder(root, names, 0);
    if walk.is_full {
        let (name, max) = (SourceName::Directory(root.to_owned()), walk.files.len());
        warn!("{name} holds more than is played: the first {max} files are taken");
    }
    Ok(walk.files)
}

#[derive(Default)]
struct Walk {
    files: Vec<PathBuf>,
    max: usize,
    seen: BTreeSet<PathBuf>,
    names: usize,
    is_full: bool,
}

impl Walk {
    fn folder(&mut self, folder: &Path, names: Vec<OsString>, depth: usize) {
        for name in names {
            let path = folder.join(&name);
            // Follows links: a folder of links is a usual way to make a list.
            let Ok(kind) = fs::metadata(&path) else {
                warn!("{} is left out: it cannot be looked at", SourceName::File(path));
                continue;
            };
            if kind.is_dir() {
                self.below(&path, depth + 1);
            } else if kind.is_file() && is_music(&path) {
                self.is_full |= self.files.len() >= self.max;
                if self.is_full {
                    return;
                }
                self.files.push(path);
            }
        }
    }

    fn below(&mut self, path: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            warn!("{} is left out: it lies too deep", SourceName::Directory(path.to_owned()));
            return;
        }
        match self.names(path) {
            Ok(names) => self.folder(path, names, depth),
            Err(error) => {
                warn!("{} is left out: {error}", SourceName::Directory(path.to_owned()));
            }
        }
    }

    /// The names in a folder in their order; none if it has been looked at before.
    fn names(&mut self, folder: &Path) -> io::Result<Vec<OsString>> {
        if !self.seen.insert(fs::canonicalize(folder)?) {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            if self.names >= NAMES_MAX {
                self.is_full = true;
                break;
            }
            self.names += 1;
            let name = entry?.file_name();
            let shown = name.to_string_lossy().into_owned();
            if !shown.starts_with('.') {
                names.push((shown, name));
            }
        }
        names.sort_by(|(a, _), (b, _)| natural::compare(a, b));
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }
}

fn is_music(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    EXTENSIONS.iter().any(|known| extension == *known)
}
