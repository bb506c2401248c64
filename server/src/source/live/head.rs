//! What a web server says before the stream, read within limits. Pure, but for reading from what it is given.

use std::io::{self, BufRead, ErrorKind, Read};

use axum::http::Uri;

use super::trouble::Trouble;

/// Longest head, bytes, and most lines of it.
const HEAD_BYTES_MAX: u64 = 16 * 1024;
const LINES_MAX: usize = 100;

/// Longest line before a chunk: sixteen digits and some extension.
const CHUNK_LINE_MAX: u64 = 256;

/// Status and headers.
#[derive(Debug)]
pub(super) struct Head {
    /// The status code.
    pub(super) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads up to the empty line.
    ///
    /// # Errors
    ///
    /// [`Trouble::NotHttp`] and [`Trouble::Lost`].
    pub(super) fn read(stream: &mut impl BufRead) -> Result<Self, Trouble> {
        let mut stream = stream.take(HEAD_BYTES_MAX);
        let first = line(&mut stream)?;
        let mut words = first.split_ascii_whitespace();
        // `ICY 200 OK` is what SHOUTcast servers say.
        let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1.") || word == "ICY");
        let status = words.next().and_then(|word| word.parse().ok());
        let (true, Some(status)) = (is_http, status) else {
            return Err(Trouble::NotHttp("it begins differently"));
        };
        let mut headers = Vec::new();
        loop {
            let line = line(&mut stream)?;
            if line.is_empty() {
                return Ok(Self { status, headers });
            }
            if headers.len() == LINES_MAX {
                return Err(Trouble::NotHttp("it has too many headers"));
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
    }

    /// The value of a header.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a radio server speaks.
    pub(super) fn is_radio(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.starts_with("icy-"))
    }

    /// The media type, without parameters, in lower case.
    fn media_type(&self) -> String {
        let value = self.get("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether the audio is HE-AAC, as far as the server says.
    pub(super) fn is_he_aac(&self) -> bool {
        matches!(self.media_type().as_str(), "audio/aacp" | "audio/x-aacp")
    }

    /// Whether a list with the address of the stream comes.
    pub(super) fn is_playlist(&self) -> bool {
        const LISTS: [&str; 5] = [
            "audio/x-scpls",
            "application/pls+xml",
            "audio/x-mpegurl",
            "audio/mpegurl",
            "application/x-mpegurl",
        ];
        self.media_type().starts_with("application/vnd.apple.mpegurl")
            || LISTS.contains(&self.media_type().as_str())
    }

    /// Refuses what is certainly no audio, as the page about a stream.
    ///
    /// # Errors
    ///
    /// [`Trouble::NotAudio`].
    pub(super) fn check_type(&self) -> Result<(), Trouble> {
        let kind = self.media_type();
        let is_other =
            kind.starts_with("text/") || kind.starts_with("image/") || kind == "application/json";
        if is_other {
            let shown: String = kind.chars().filter(char::is_ascii_graphic).take(60).collect();
            return Err(Trouble::NotAudio(format!("`{shown}`")));
        }
        Ok(())
    }
}

/// A line without its end. Bytes beyond ASCII are taken as Latin-1.
fn line(stream: &mut impl BufRead) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    stream.read_until(b'\n', &mut bytes).map_err(Trouble::Lost)?;
    if bytes.pop() != Some(b'\n') {
        return Err(Trouble::NotHttp("its head has no end, or is too long"));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    };
    Ok(text.trim_end_matches('\r').to_owned())
}

/// Where `location` leads, seen from `base`.
pub(super) fn resolve(base: &Uri, location: &str) -> String {
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    }
}

/// The first address in a radio's playlist, M3U or PLS.
///
/// # Errors
///
/// [`Trouble::NotAudio`].
pub(super) fn playlist_entry(text: &str) -> Result<String, Trouble> {
    if text.contains("#EXT-X-") {
        let way =
            "an HLS playlist, which `exec:ffmpeg -v error -i ADDRESS -f wav -` can play".to_owned();
        return Err(Trouble::NotAudio(way));
    }
    let is_list = text.trim_start().to_ascii_lowercase().starts_with("[playlist]");
    let entry = text.lines().map(str::trim).find_map(|line| {
        if is_list {
            let (key, value) = line.split_once('=')?;
            return key.trim().to_ascii_lowercase().starts_with("file").then(|| value.trim());
        }
        (!line.is_empty() && !line.starts_with('#')).then_some(line)
    });
    entry.map(str::to_owned).ok_or_else(|| Trouble::NotAudio("an empty playlist".to_owned()))
}

/// A body in chunks (RFC 9112, 7.1).
pub(super) struct Chunked<R> {
    inner: R,
    left: u64,
    /// The line after a chunk is still to come.
    is_between: bool,
    is_over: bool,
}

impl<R: BufRead> Chunked<R> {
    /// The body that `inner` carries.
    pub(super) fn new(inner: R) -> Self {
        Self { inner, left: 0, is_between: false, is_over: false }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let wrong = |what| io::Error::new(ErrorKind::InvalidData, what);
        if self.is_between && !self.line()?.is_empty() {
            return Err(wrong("a chunk is longer than it says"));
        }
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(digits, 16).map_err(|_| wrong("a chunk has no length"))?;
        self.is_between = true;
        // Trailers are not looked at: the connection is used once.
        self.is_over = self.left == 0;
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut bytes = Vec::new();
        (&mut self.inner).take(CHUNK_LINE_MAX).read_until(b'\n', &mut bytes)?;
        if bytes.pop() != Some(b'\n') {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "it ended within a chunk"));
        }
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned())
    }
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_over {
            self.next_chunk()?;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "it ended within a chunk"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(text: &str) -> Result<Head, Trouble> {
        Head::read(&mut text.as_bytes())
    }

    #[test]
    fn a_head_of_either_kind_is_read() {
        let web = head(
            "HTTP/1.1 200 OK\r\nContent-Type: Audio/AACP; x=y\r\nicy-name:R\u{e9}\r\n\r\nbody",
        )
        .unwrap();
        assert_eq!((web.status, web.get("icy-name")), (200, Some("R\u{e9}")));
        assert!(web.is_radio() && web.is_he_aac() && web.check_type().is_ok());
        let radio = head("ICY 200 OK\nicy-metaint: 16\n\n").unwrap();
        assert_eq!((radio.status, radio.get("icy-metaint")), (200, Some("16")));
        assert!(
            head("HTTP/1.0 200\r\ncontent-type: text/html\r\n\r\n").unwrap().check_type().is_err()
        );
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101));
        for wrong in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: y",
            &long,
            &many,
        ] {
            assert!(matches!(head(wrong), Err(Trouble::NotHttp(_))), "{wrong:.40}");
        }
    }

    #[test]
    fn redirects_are_resolved() {
        let base: Uri = "http://a.example:80/x/y?z".parse().unwrap();
        for (location, to) in [
            ("https://b/c", "https://b/c"),
            ("//b/c", "http://b/c"),
            ("/c", "http://a.example:80/c"),
            ("c?d", "http://a.example:80/x/c?d"),
        ] {
            assert_eq!(resolve(&base, location), to);
        }
    }

    #[test]
    fn a_playlist_names_its_stream() {
        for (text, entry) in [
            ("#EXTM3U\n#EXTINF:-1,R\nhttp://a/b\nhttp://c", Some("http://a/b")),
            ("[playlist]\r\nNumberOfEntries=1\r\nFile1=http://a/b\r\n", Some("http://a/b")),
            ("#EXTM3U\n#EXT-X-VERSION:3\nseg.ts", None),
            ("", None),
        ] {
            assert_eq!(playlist_entry(text).ok().as_deref(), entry, "{text}");
        }
    }

    #[test]
    fn chunks_are_joined_and_a_loss_is_no_end() {
        let mut body = String::new();
        let whole = "4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\n\r\n";
        Chunked::new(whole.as_bytes()).read_to_string(&mut body).unwrap();
        assert_eq!(body, "wikipedia");
        for wrong in ["4\r\nwi", "4\r\nwikix\r\n", "x\r\n", "fffffffffffffffff\r\n", ""] {
            assert!(
                Chunked::new(wrong.as_bytes()).read_to_end(&mut Vec::new()).is_err(),
                "{wrong}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_from_a_stranger_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Head::read(&mut &bytes[..]);
            let mut body = Vec::new();
            let _ = Chunked::new(&bytes[..]).read_to_end(&mut body);
            prop_assert!(body.len() <= bytes.len());
        }
    }
}
