//! Where the music begins and ends inside an MP4 sound track.
//!
//! AAC needs a run-up: an encoder puts a block or two of silence before the music and fills the last
//! block up. Played as they are, they make a gap of some 50 ms at every join. MP3 and Vorbis have the
//! same, and symphonia removes it there; for MP4 it does not look at the edit list. This does.
//!
//! Source: ISO/IEC 14496-12, sections 8.2.2 (`mvhd`), 8.4.2 (`mdhd`), 8.6.5 (`edts`) and 8.6.6 (`elst`);
//! for `iTunSMPB`, which holds four hexadecimal numbers, zero, run-up, padding and length in frames,
//! what Apple's and other encoders write.

use std::io::{Read, Seek, SeekFrom};

/// The frames of a track that are music, by the timestamps of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// First frame to be heard.
    pub(super) start: u64,
    /// One past the last frame to be heard.
    pub(super) end: u64,
}

impl Span {
    /// Everything.
    pub(super) const ALL: Self = Self { start: 0, end: u64::MAX };

    /// Which of `frames` frames beginning at `first` are inside.
    pub(super) fn within(self, first: u64, frames: usize) -> std::ops::Range<usize> {
        let clip = |edge: u64| {
            usize::try_from(edge.saturating_sub(first)).unwrap_or(usize::MAX).min(frames)
        };
        clip(self.start)..clip(self.end).max(clip(self.start))
    }
}

/// Reads an `iTunSMPB` tag, such as ` 00000000 00000840 000001CA 00000000003F31F6 …`.
pub(super) fn parse_itunsmpb(text: &str) -> Option<Span> {
    let mut numbers = text.split_whitespace().map(|hex| u64::from_str_radix(hex, 16).ok());
    let (_, start, _, frames) =
        (numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??);
    let end = start.checked_add(frames)?;
    (frames > 0).then_some(Span { start, end })
}

/// Reads the edit list of sound track `track_id` from an MP4 file.
///
/// Only the simple and common form counts: one stretch, played once at normal speed, perhaps after an
/// empty stretch. Anything else, and any damage, is `None`: the track is played whole.
pub(super) fn read_edit_list(file: &mut (impl Read + Seek), track_id: u32) -> Option<Span> {
    let end = file.seek(SeekFrom::End(0)).ok()?;
    let movie = find(file, Region { start: 0, end }, *b"moov")?;
    let movie_timescale = read_after_dates(file, movie, *b"mvhd")?;
    let mut rest = movie;
    while let Some(track) = find(file, rest, *b"trak") {
        rest.start = track.end;
        if read_after_dates(file, track, *b"tkhd")? == track_id {
            let list = find(file, track, *b"edts").and_then(|edits| find(file, edits, *b"elst"))?;
            let media = find(file, track, *b"mdia")?;
            let timescale = read_after_dates(file, media, *b"mdhd")?;
            return read_list(file, list, timescale, movie_timescale);
        }
    }
    None
}

/// The bytes of a box, without its header.
#[derive(Clone, Copy)]
struct Region {
    start: u64,
    end: u64,
}

/// Most boxes looked at in a row: real files have a dozen, a hostile one could have millions.
const BOXES_MAX: usize = 4096;

fn find(file: &mut (impl Read + Seek), region: Region, name: [u8; 4]) -> Option<Region> {
    let mut at = region.start;
    for _ in 0..BOXES_MAX {
        let header = Region { start: at, end: region.end };
        let mut start = at.checked_add(8)?;
        let size = match read_u32(file, header, 0)? {
            0 => region.end - at,
            1 => {
                start = start.checked_add(8)?;
                read_u64(file, header, 8)?
            }
            size => u64::from(size),
        };
        let end = at.checked_add(size)?.min(region.end);
        if end < start {
            return None;
        }
        if read_array(file, header, 4)? == name {
            return Some(Region { start, end });
        }
        at = end;
    }
    None
}

fn read_list(
    file: &mut (impl Read + Seek),
    list: Region,
    timescale: u32,
    movie_timescale: u32,
) -> Option<Span> {
    let wide = version(file, list)? == 1;
    let entry_bytes = if wide { 20 } else { 12 };
    let count = u64::from(read_u32(file, list, 4)?);
    let mut span = None;
    // One stretch and at most a few empty ones before it.
    for index in 0..count.min(4) {
        let at = 8 + index * entry_bytes;
        let (duration, media_time) = if wide {
            (read_u64(file, list, at)?, read_u64(file, list, at + 8)?.cast_signed())
        } else {
            let media_time = read_u32(file, list, at + 4)?.cast_signed();
            (u64::from(read_u32(file, list, at)?), i64::from(media_time))
        };
        let Ok(start) = u64::try_from(media_time) else {
            continue;
        };
        if span.is_some() {
            return None;
        }
        let frames = scale_up(duration, timescale, movie_timescale)?;
        let end = if duration == 0 { u64::MAX } else { start.checked_add(frames)? };
        span = Some(Span { start, end });
    }
    span
}

/// Converts to a finer timescale, to the end of the tick: movie time is often in milliseconds, and
/// rounding down would cut music off.
fn scale_up(duration: u64, to: u32, from: u32) -> Option<u64> {
    let scaled = (u128::from(duration) * u128::from(to)).div_ceil(u128::from(from).max(1));
    u64::try_from(scaled).ok()
}

/// The number that `mvhd`, `mdhd` (timescale) and `tkhd` (track id) have behind two dates. Never zero.
fn read_after_dates(file: &mut (impl Read + Seek), parent: Region, name: [u8; 4]) -> Option<u32> {
    let header = find(file, parent, name)?;
    let at = if version(file, header)? == 1 { 20 } else { 12 };
    read_u32(file, header, at).filter(|number| *number > 0)
}

fn version(file: &mut (impl Read + Seek), region: Region) -> Option<u8> {
    read_array::<1>(file, region, 0).map(|[version]| version)
}

fn read_u32(file: &mut (impl Read + Seek), region: Region, at: u64) -> Option<u32> {
    read_array(file, region, at).map(u32::from_be_bytes)
}

fn read_u64(file: &mut (impl Read + Seek), region: Region, at: u64) -> Option<u64> {
    read_array(file, region, at).map(u64::from_be_bytes)
}

fn read_array<const N: usize>(
    file: &mut (impl Read + Seek),
    region: Region,
    at: u64,
) -> Option<[u8; N]> {
    let start = region.start.checked_add(at)?;
    if start.checked_add(N as u64)? > region.end {
        return None;
    }
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}
