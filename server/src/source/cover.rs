//! Finds the picture that belongs to an audio file: the one inside it, or one beside it.
//!
//! In a pass of its own, for a thread that has the time: a picture can be larger than everything else about a track, and
//! nothing here may hold up decoding. What is found is only bytes; nobody has looked at them.

use std::fs::File;
use std::io::{Read, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use symphonia::core::common::Limit;
use symphonia::core::formats::FormatOptions;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{MetadataOptions, MetadataRevision, StandardVisualKey, Visual};

use super::file::{guard, open_regular};
use super::shared_file::SharedFile;

/// Largest picture that is looked at, in bytes: several times what a scanner makes of a sleeve.
pub(crate) const PICTURE_BYTES_MAX: usize = 8 << 20;

/// Most entries of a folder that are looked at for a picture.
const ENTRIES_MAX: usize = 10_000;

/// Names of pictures beside a file, the best first, and how they may end.
const STEMS: [&str; 3] = ["cover", "folder", "front"];
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// The pictures that may belong to the audio file at `path`, the likeliest first. Whether they are any is for the caller to
/// find out.
pub(crate) fn candidates(path: &Path) -> impl Iterator<Item = Vec<u8>> {
    let path = path.to_owned();
    [embedded, beside].into_iter().filter_map(move |look| look(&path))
}

/// The picture in the file: the front cover, or else the first.
fn embedded(path: &Path) -> Option<Vec<u8>> {
    let handle = Arc::new(open_regular(path).ok()?);
    let source = Box::new(SharedFile::new(&handle).ok()?);
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let metadata = MetadataOptions::default().limit_visual_bytes(Limit::Maximum(PICTURE_BYTES_MAX));
    let found = guard(|| {
        let probe = symphonia::default::get_probe();
        let reader = probe.probe(&Hint::new(), stream, FormatOptions::default(), metadata);
        let mut reader = reader.ok()?;
        let mut best = None;
        let mut log = reader.metadata();
        while let Some(revision) = log.pop() {
            consider(&mut best, &revision);
        }
        if let Some(revision) = log.current() {
            consider(&mut best, revision);
        }
        best
    });
    found.ok().flatten().map(|(_, data)| data)
}

/// Takes the picture of `revision` if it is better than the `best` so far.
fn consider(best: &mut Option<(bool, Vec<u8>)>, revision: &MetadataRevision) {
    let per_track = revision.per_track.iter().flat_map(|track| &track.metadata.visuals);
    for visual in revision.media.visuals.iter().chain(per_track) {
        let is_front = visual.usage == Some(StandardVisualKey::FrontCover);
        let is_better = best.as_ref().is_none_or(|(had_front, _)| is_front && !had_front);
        if is_better && is_sane(visual) {
            *best = Some((is_front, visual.data.to_vec()));
        }
    }
}

fn is_sane(visual: &Visual) -> bool {
    !visual.data.is_empty() && visual.data.len() <= PICTURE_BYTES_MAX
}

/// The picture in the file's folder whose name says that it is the cover.
fn beside(path: &Path) -> Option<Vec<u8>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let named = entries.take(ENTRIES_MAX).filter_map(|entry| {
        let path = entry.ok()?.path();
        Some((rank(&path)?, path))
    });
    // By the name as well: two of the same rank differ in case alone, and the choice must not change from day to day.
    let (_, path): (_, PathBuf) = named.min()?;
    let mut picture = Vec::new();
    let mut file: Take<File> = open_regular(&path).ok()?.take(PICTURE_BYTES_MAX as u64 + 1);
    file.read_to_end(&mut picture).ok()?;
    (picture.len() <= PICTURE_BYTES_MAX).then_some(picture)
}

/// How good a name for a cover this is, 0 the best; `None` is not one.
fn rank(path: &Path) -> Option<usize> {
    let place = |list: &[&str], name: Option<&std::ffi::OsStr>| {
        let name = name?.to_str()?;
        list.iter().position(|listed| listed.eq_ignore_ascii_case(name))
    };
    let stem = place(&STEMS, path.file_stem())?;
    Some(stem * ENDINGS.len() + place(&ENDINGS, path.extension())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/audio").join(name)
    }

    #[test]
    fn a_picture_is_found_in_every_kind_of_file() {
        for name in ["picture.flac", "picture.mp3", "picture.m4a"] {
            let picture = candidates(&fixture(name)).next().unwrap_or_default();
            assert!(picture.starts_with(b"\x89PNG"), "{name}: {} bytes", picture.len());
        }
        assert_eq!(candidates(&fixture("ramp-48k-16.flac")).count(), 0);
        assert_eq!(candidates(&fixture("missing.flac")).count(), 0);
    }

    #[test]
    fn covers_are_known_by_their_names() {
        let ranks = ["cover.jpg", "Cover.JPEG", "COVER.png", "folder.jpg", "Front.png"]
            .map(|name| rank(Path::new("/music").join(name).as_path()));
        assert!(ranks.is_sorted() && ranks[0] == Some(0), "{ranks:?}");
        for other in ["cover", "cover.gif", "back.jpg", "cover.jpg.exe", "my cover.jpg"] {
            assert_eq!(rank(Path::new(other)), None, "{other}");
        }
    }
}
