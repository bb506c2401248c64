//! Reads playlists: M3U, PLS and XSPF.
//!
//! Text in, entries out: no file is opened here. A playlist may name any file, as the person who wrote `--source` may,
//! and addresses on the web; it may not start programs.
//!
//! Sources: M3U as Winamp and its successors write it, with `#EXTINF`; PLS as radio stations give it out; XSPF version 1,
//! xspf.org, section 4.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node, ParsingOptions};

use super::spec::{SourceSpec, is_web};

/// Largest playlist read, in bytes: 20,000 long paths.
pub(super) const BYTES_MAX: u64 = 4 << 20;

/// Most elements, texts and attributes of an XSPF file.
const NODES_MAX: u32 = 500_000;

/// How a playlist is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A path in each line; Latin-1 if it is not UTF-8.
    M3u,
    /// The same, always UTF-8.
    M3u8,
    /// `File1=…`, `Title1=…`.
    Pls,
    /// XML.
    Xspf,
}

impl Kind {
    /// What a file is by its name; `None` when it is no playlist.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_ascii_lowercase();
        match extension.to_str()? {
            "m3u" => Some(Self::M3u),
            "m3u8" => Some(Self::M3u8),
            "pls" => Some(Self::Pls),
            "xspf" => Some(Self::Xspf),
            _ => None,
        }
    }
}

/// One entry, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Path or address.
    pub(super) location: String,
    /// What the playlist calls it.
    pub(super) title: Option<String>,
    /// Who performs it, where that is written apart from the title.
    pub(super) artist: Option<String>,
}

/// The entries of a playlist, `max` at most.
///
/// # Errors
///
/// What is wrong with it, in a few words.
pub(super) fn parse(kind: Kind, bytes: &[u8], max: usize) -> Result<Vec<Line>, String> {
    let text = text(kind, bytes)?;
    match kind {
        Kind::M3u | Kind::M3u8 => m3u(&text, max),
        Kind::Pls => pls(&text, max),
        Kind::Xspf => xspf(&text, max),
    }
}

fn text(kind: Kind, bytes: &[u8]) -> Result<String, String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err("it is not text".to_owned());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        // The first 256 characters of Unicode are those of Latin-1.
        Err(_) if matches!(kind, Kind::M3u | Kind::Pls) => {
            Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
        }
        Err(_) => Err("its text is not UTF-8".to_owned()),
    }
}

fn m3u(text: &str, max: usize) -> Result<Vec<Line>, String> {
    let (mut lines, mut title) = (Vec::new(), None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(info) = line.strip_prefix("#EXTINF:") {
            title = info.split_once(',').map(|(_, title)| title.trim().to_owned());
        } else if line.starts_with("#EXT-X-") {
            return Err("it lists the pieces of a stream (HLS)".to_owned());
        } else if !line.starts_with('#') {
            if lines.len() >= max {
                break;
            }
            let (artist, title) = split_title(title.take());
            lines.push(Line { location: line.to_owned(), title, artist });
        }
    }
    Ok(lines)
}

/// `Artist - Title`, the only way these formats have to name both.
fn split_title(text: Option<String>) -> (Option<String>, Option<String>) {
    match text.as_deref().and_then(|text| text.split_once(" - ")) {
        Some((artist, title)) => (Some(artist.trim().to_owned()), Some(title.trim().to_owned())),
        None => (None, text),
    }
}

fn pls(text: &str, max: usize) -> Result<Vec<Line>, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if !lines.next().is_some_and(|line| line.eq_ignore_ascii_case("[playlist]")) {
        return Err("it does not begin with [playlist]".to_owned());
    }
    let mut found: BTreeMap<u32, Line> = BTreeMap::new();
    for (key, value) in lines.filter_map(|line| line.split_once('=')) {
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_owned());
        let number = |prefix| key.strip_prefix(prefix).and_then(|number| number.parse().ok());
        if let Some(number) = number("file") {
            found.entry(number).or_default().location = value;
        } else if let Some(number) = number("title") {
            let line = found.entry(number).or_default();
            (line.artist, line.title) = split_title(Some(value));
        }
    }
    Ok(found.into_values().filter(|line| !line.location.is_empty()).take(max).collect())
}

fn xspf(text: &str, max: usize) -> Result<Vec<Line>, String> {
    // No document type: it could make a small file large.
    let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document =
        Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let playlist = document.root_element();
    if playlist.tag_name().name() != "playlist" {
        return Err("its XML is not a playlist".to_owned());
    }
    let lists = playlist.children().filter(|node| node.tag_name().name() == "trackList");
    let tracks =
        lists.flat_map(|list| list.children()).filter(|node| node.tag_name().name() == "track");
    let line = |track: Node<'_, '_>| {
        let text = |name: &str| {
            let child = track.children().find(|node| node.tag_name().name() == name)?;
            let text = child.text()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let location = percent_decoded_path(&text("location")?);
        Some(Line { location, title: text("title"), artist: text("creator") })
    };
    Ok(tracks.filter_map(line).take(max).collect())
}

/// A relative reference as a path; what has a scheme is left to [`resolve`].
fn percent_decoded_path(location: &str) -> String {
    if is_web(location) || scheme_rest(location, "file:").is_some() {
        location.to_owned()
    } else {
        String::from_utf8_lossy(&percent_decoded(location)).into_owned()
    }
}

/// What an entry of a playlist in `folder` names.
pub(super) fn resolve(location: &str, folder: &Path) -> SourceSpec {
    if is_web(location) {
        return SourceSpec::Http(location.to_owned());
    }
    let path = match scheme_rest(location, "file:") {
        Some(url) => file_url_path(url),
        // Made on Windows: a name that holds a backslash and lies in no folder is rarer than that.
        None if cfg!(unix) && !location.contains('/') => folder.join(location.replace('\\', "/")),
        None => folder.join(location),
    };
    if Kind::of(&path).is_some() { SourceSpec::Playlist(path) } else { SourceSpec::File(path) }
}

/// The path of a `file:` address, RFC 8089: with two slashes and a host, or without.
fn file_url_path(url: &str) -> PathBuf {
    let path = match url.strip_prefix("//") {
        Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => url,
    };
    bytes_path(percent_decoded(path))
}

#[cfg(unix)]
fn bytes_path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn bytes_path(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).trim_start_matches('/').into()
}

/// RFC 3986, section 2.1. A `%` without two digits stands for itself.
pub(super) fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            decoded.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    decoded
}

fn scheme_rest<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod tests;
