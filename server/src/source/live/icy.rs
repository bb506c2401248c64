//! Takes titles out of a radio stream.
//!
//! A `SHOUTcast` or Icecast server that was asked with `Icy-MetaData: 1` puts a block of text after each `icy-metaint` bytes of
//! audio: one byte that says how many times 16 bytes follow, and then `StreamTitle='…';StreamUrl='…';` filled up with
//! zeros. Nobody escapes quotes: a title ends where a quote and a semicolon stand, and another field or the end follows.

use std::io::{self, Read};

use super::titles::Titles;

/// Longest run of audio between two blocks that is believed, bytes. Servers use 8,192 to 65,536.
const INTERVAL_MAX: usize = 1 << 20;

/// Most bytes of audio that are handed on at a time: 64 ms at 128 kbit/s. Whoever decodes reads no further than that
/// beyond the place where a title stands.
const PIECE_BYTES: usize = 1_024;

/// The stream without the titles in it.
pub(super) struct Icy<R> {
    inner: R,
    interval: usize,
    /// Bytes of audio until the next block.
    left: usize,
    titles: Titles,
}

impl<R: Read> Icy<R> {
    /// A stream with a block after every `interval` bytes. `None` if that cannot be.
    pub(super) fn new(inner: R, interval: usize, titles: Titles) -> Option<Self> {
        let fits = (1..=INTERVAL_MAX).contains(&interval);
        fits.then_some(Self { inner, interval, left: interval, titles })
    }

    /// Reads the block that is due. Whether the stream goes on after it.
    fn read_block(&mut self) -> io::Result<bool> {
        let mut length = Vec::with_capacity(1);
        self.inner.by_ref().take(1).read_to_end(&mut length)?;
        let [blocks] = length[..] else { return Ok(false) };
        // 4,080 bytes at most.
        let bytes = usize::from(blocks) * 16;
        let mut block = Vec::with_capacity(bytes);
        self.inner.by_ref().take(bytes as u64).read_to_end(&mut block)?;
        if let Some(title) = title_in(&block) {
            self.titles.set(title);
        }
        self.left = self.interval;
        Ok(block.len() == bytes)
    }
}

impl<R: Read> Read for Icy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.read_block()? {
            return Ok(0);
        }
        let most = buffer.len().min(self.left).min(PIECE_BYTES);
        let count = self.inner.read(&mut buffer[..most])?;
        self.left -= count;
        Ok(count)
    }
}

/// The title in a block of metadata; `None` if the block has none. It may be empty.
fn title_in(block: &[u8]) -> Option<String> {
    let text = text_of(block);
    let (_, rest) = text.split_once("StreamTitle='")?;
    let mut end = None;
    for (at, _) in rest.match_indices("';") {
        let after = &rest[at + 2..];
        let name = after.split_once("='").map(|(name, _)| name);
        let is_field = name.is_some_and(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric())
        });
        if is_field || after.trim_end_matches([' ', '\0']).is_empty() {
            end = Some(at);
            break;
        }
    }
    // A block that was cut off: what is there.
    let end = end.or_else(|| rest.find("';")).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('\0').to_owned())
}

/// UTF-8, or else Latin-1, in which every byte is the character of its number.
fn text_of(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(text: &[u8]) -> Vec<u8> {
        let mut block = vec![text.len().div_ceil(16) as u8];
        block.extend(text);
        block.resize(1 + text.len().div_ceil(16) * 16, 0);
        block
    }

    fn read(stream: &[u8], interval: usize) -> (Vec<u8>, Vec<String>) {
        let titles = Titles::default();
        let mut icy = Icy::new(stream, interval, titles.clone()).unwrap();
        let (mut audio, mut seen) = (Vec::new(), Vec::new());
        let mut buffer = [0; 7];
        while let Ok(count @ 1..) = icy.read(&mut buffer) {
            seen.extend(titles.take());
            audio.extend(&buffer[..count]);
        }
        (audio, seen)
    }

    #[test]
    fn audio_and_titles_are_told_apart() {
        let mut stream = vec![1; 20];
        stream.extend(block(b"StreamTitle='Nina - Blue';StreamUrl='http://x';"));
        stream.extend(vec![2; 20]);
        stream.push(0);
        stream.extend(vec![3; 20]);
        stream.extend(block(b"StreamTitle='';"));
        stream.extend(vec![4; 5]);
        let (audio, titles) = read(&stream, 20);
        assert_eq!(audio, [vec![1; 20], vec![2; 20], vec![3; 20], vec![4; 5]].concat());
        assert_eq!(titles, ["Nina - Blue", ""]);
    }

    #[test]
    fn titles_hold_quotes_and_any_charset() {
        for (text, title) in [
            (&b"StreamTitle='Don't Stop';"[..], "Don't Stop"),
            (b"StreamTitle='It's 'so'; it is';StreamUrl='';", "It's 'so'; it is"),
            (b"StreamUrl='u';StreamTitle='last';\0\0\0", "last"),
            (b"StreamTitle='Bj\xf6rk';", "Björk"),
            ("StreamTitle='Björk';".as_bytes(), "Björk"),
            (b"StreamTitle='cut off", "cut off"),
        ] {
            assert_eq!(title_in(text).as_deref(), Some(title));
        }
        assert_eq!(title_in(b"StreamUrl='x';"), None);
    }

    #[test]
    fn an_interval_that_cannot_be_is_refused() {
        for interval in [0, INTERVAL_MAX + 1] {
            assert!(Icy::new(&[][..], interval, Titles::default()).is_none());
        }
    }

    proptest! {
        #[test]
        fn nothing_from_a_stranger_breaks_it(
            stream in prop::collection::vec(any::<u8>(), 0..2_000),
            interval in 1_usize..300,
        ) {
            let (audio, titles) = read(&stream, interval);
            prop_assert!(audio.len() <= stream.len());
            prop_assert!(titles.iter().all(|title| title.len() <= 2 * 4_080));
        }
    }
}
