//! What is known about a piece of music: the tags of a file, made fit to be shown.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use symphonia::core::formats::FormatReader;
use symphonia::core::meta::{MetadataRevision, StandardTag};

use super::gain::GainTags;
use super::picture_id::PictureId;

/// Longest tag kept, in characters. A file may carry megabytes in one tag, and every listener gets it.
const TAG_CHARS_MAX: usize = 300;

/// Describes one piece of music.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Title; the file's name without extension when it carries none. Never empty.
    pub title: String,
    /// Performers, joined by ", ".
    pub artist: Option<String>,
    /// Album.
    pub album: Option<String>,
    /// Artist of the album as a whole.
    pub album_artist: Option<String>,
    /// Year of release, or of recording when that is all the file tells.
    pub year: Option<u32>,
    /// Number on the album, from 1.
    pub track_number: Option<u32>,
    /// Length in milliseconds. An estimate where a file does not state it.
    pub duration_ms: Option<u64>,
    /// Its picture, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artwork: Option<PictureId>,
    /// The file on this machine in which or beside which its picture is. Nobody is told.
    #[serde(skip)]
    pub file: Option<Arc<Path>>,
}

impl Track {
    /// A track of which only the file name is known.
    pub(super) fn from_path(path: &Path) -> Self {
        let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        Self { file: Some(path.into()), ..Self::named(&stem, None) }
    }

    /// A track of which only this is known, as a playlist tells it.
    pub(super) fn named(title: &str, artist: Option<&str>) -> Self {
        let title = clean(title).unwrap_or_else(|| "Untitled".to_owned());
        Self { title, artist: artist.and_then(clean), ..Self::default() }
    }

    /// Takes over what the reader found so far, and returns what it says about loudness.
    ///
    /// Revisions come oldest first, and what is read from the front of a file after what hangs at its
    /// end: `ID3v2` after the `ID3v1` that cuts titles at 30 characters. So later ones win.
    pub(super) fn read_tags(&mut self, reader: &mut dyn FormatReader) -> GainTags {
        let mut gain = GainTags::default();
        let mut log = reader.metadata();
        while let Some(revision) = log.pop() {
            self.apply(&revision);
            gain.apply(&revision);
        }
        if let Some(revision) = log.current() {
            self.apply(revision);
            gain.apply(revision);
        }
        gain
    }

    fn apply(&mut self, revision: &MetadataRevision) {
        let mut found = Found::default();
        let per_track = revision.per_track.iter().flat_map(|track| &track.metadata.tags);
        for tag in revision.media.tags.iter().chain(per_track) {
            if let Some(standard) = &tag.std {
                found.take(standard);
            }
        }
        if let Some(title) = found.title {
            self.title = title;
        }
        let joined = found.artists.join(", ");
        replace(&mut self.artist, clean(&joined));
        replace(&mut self.album, found.album);
        replace(&mut self.album_artist, found.album_artist);
        replace(&mut self.year, found.release_year.or(found.other_year));
        replace(&mut self.track_number, found.track_number);
    }
}

/// The tags of one revision.
#[derive(Default)]
struct Found {
    title: Option<String>,
    artists: Vec<String>,
    album: Option<String>,
    album_artist: Option<String>,
    release_year: Option<u32>,
    other_year: Option<u32>,
    track_number: Option<u32>,
}

impl Found {
    fn take(&mut self, tag: &StandardTag) {
        use StandardTag as Tag;
        match tag {
            Tag::TrackTitle(text) => keep_first(&mut self.title, clean(text)),
            Tag::Artist(text) => {
                self.artists.extend(clean(text).filter(|name| !self.artists.contains(name)));
            }
            Tag::Album(text) => keep_first(&mut self.album, clean(text)),
            Tag::AlbumArtist(text) => keep_first(&mut self.album_artist, clean(text)),
            Tag::TrackNumber(number) => {
                keep_first(&mut self.track_number, u32::try_from(*number).ok().filter(|n| *n > 0));
            }
            Tag::ReleaseYear(year) => keep_first(&mut self.release_year, plausible(*year)),
            Tag::ReleaseDate(date) => keep_first(&mut self.release_year, year_of(date)),
            Tag::RecordingYear(year) | Tag::OriginalReleaseYear(year) => {
                keep_first(&mut self.other_year, plausible(*year));
            }
            Tag::RecordingDate(date) | Tag::OriginalReleaseDate(date) => {
                keep_first(&mut self.other_year, year_of(date));
            }
            _ => {}
        }
    }
}

fn replace<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}

fn keep_first<T>(field: &mut Option<T>, value: Option<T>) {
    if field.is_none() {
        *field = value;
    }
}

fn plausible(year: u16) -> Option<u32> {
    (year > 0).then_some(u32::from(year))
}

/// The year of a date such as `1999-12-31`.
fn year_of(date: &str) -> Option<u32> {
    let digits = date.trim().get(..4)?;
    digits.parse().ok().filter(|year| *year > 0)
}

/// Text on one line, of bounded length; `None` when nothing is left.
pub(super) fn clean(text: &str) -> Option<String> {
    let one_line: String =
        text.chars().take(TAG_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let trimmed = one_line.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}
