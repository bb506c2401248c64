//! Takes apart what a person named: folders and playlists become the entries of one list.
//!
//! What is named itself must play. What a folder or a playlist holds is opened when its turn comes, and left out with a
//! warning if it does not play: only one of them is tried at the start, so that a party of thousands of files begins
//! at once.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use tracing::warn;

use super::item::Entry;
use super::live::LiveOptions;
use super::track::Track;
use super::{Fault, SourceError, SourceName, SourceSpec, directory, file, playlist};

/// Most entries of the list: two months of music. What comes after is left out with a warning.
pub(super) const ENTRIES_MAX: usize = 20_000;

/// The list that `specs` name, in order.
///
/// # Errors
///
/// [`SourceError::Unplayable`] for the first that does not play, or holds nothing that does.
pub(super) fn gather(specs: &[SourceSpec], live: LiveOptions) -> Result<Vec<Entry>, SourceError> {
    let mut entries = Vec::new();
    for spec in specs {
        let unplayable = |fault| SourceError::Unplayable { name: SourceName::from(spec), fault };
        match spec {
            SourceSpec::Directory(_) | SourceSpec::Playlist(_) => {
                let mut list =
                    List { entries: Vec::new(), room: ENTRIES_MAX - entries.len(), live };
                list.add(spec, 0).map_err(unplayable)?;
                try_until_one_plays(&mut list.entries).map_err(unplayable)?;
                entries.append(&mut list.entries);
            }
            _ if entries.len() >= ENTRIES_MAX => {
                warn!("{} is left out: the list is full", SourceName::from(spec));
            }
            _ => entries.push(Entry::named(spec, live).map_err(unplayable)?),
        }
    }
    Ok(entries)
}

/// Finds one that plays, and warns of those before it.
fn try_until_one_plays(entries: &mut [Entry]) -> Result<(), Fault> {
    let mut faults = Vec::new();
    for at in 0..entries.len() {
        match entries[at].open() {
            Ok(_) => {
                entries[at].close();
                for (entry, fault) in entries.iter_mut().zip(&faults) {
                    entry.fail(fault);
                }
                return Ok(());
            }
            Err(fault) => faults.push(fault),
        }
    }
    match (entries.first(), faults.first()) {
        (Some(first), Some(fault)) => {
            let first = format!("{}: {fault}", first.name());
            Err(Fault::NonePlays { count: faults.len(), first })
        }
        _ => Err(Fault::NoEntries),
    }
}

/// The entries of one source.
struct List {
    entries: Vec<Entry>,
    room: usize,
    live: LiveOptions,
}

impl List {
    /// Adds what `spec` names: itself, or what is in it. `depth` counts the playlists it stands in.
    fn add(&mut self, spec: &SourceSpec, depth: usize) -> Result<(), Fault> {
        match spec {
            SourceSpec::Directory(path) => {
                let files = directory::walk(path, self.left()).map_err(file::io_fault)?;
                let live = self.live;
                let listed = |path| Entry::listed(SourceSpec::File(path), None, live);
                self.entries.extend(files.into_iter().map(listed));
                Ok(())
            }
            SourceSpec::Playlist(_) if depth > 1 => Err(Fault::Nested),
            SourceSpec::Playlist(path) => self.add_playlist(path, depth),
            _ => {
                self.entries.push(Entry::listed(spec.clone(), None, self.live));
                Ok(())
            }
        }
    }

    fn add_playlist(&mut self, path: &Path, depth: usize) -> Result<(), Fault> {
        let kind = playlist::Kind::of(path).ok_or(Fault::Nested)?;
        let bytes = read_playlist(path)?;
        let lines = playlist::parse(kind, &bytes, self.left() + 1).map_err(Fault::Playlist)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for line in lines {
            if self.left() == 0 {
                warn!("{} names more than is played", SourceName::Playlist(path.to_owned()));
                break;
            }
            match playlist::resolve(&line.location, folder) {
                SourceSpec::File(path) if path.extension().is_none() && path.is_dir() => {
                    self.add_or_warn(&SourceSpec::Directory(path), depth);
                }
                list @ SourceSpec::Playlist(_) => self.add_or_warn(&list, depth + 1),
                spec => {
                    let track =
                        line.title.map(|title| Track::named(&title, line.artist.as_deref()));
                    self.entries.push(Entry::listed(spec, track, self.live));
                }
            }
        }
        Ok(())
    }

    fn add_or_warn(&mut self, spec: &SourceSpec, depth: usize) {
        if let Err(fault) = self.add(spec, depth) {
            warn!("{} is left out: {fault}", SourceName::from(spec));
        }
    }

    fn left(&self) -> usize {
        self.room.saturating_sub(self.entries.len())
    }
}

fn read_playlist(path: &Path) -> Result<Vec<u8>, Fault> {
    let file: File = file::open_regular(path)?;
    let mut bytes = Vec::new();
    // One more than allowed tells a file that is too large from one that just fits.
    file.take(playlist::BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Fault::Unreadable)?;
    if bytes.len() as u64 > playlist::BYTES_MAX {
        return Err(Fault::Playlist(format!(
            "it is larger than {} MiB",
            playlist::BYTES_MAX >> 20
        )));
    }
    Ok(bytes)
}
