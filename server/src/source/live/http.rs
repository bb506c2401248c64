//! Fetches a stream from a web server.
//!
//! HTTP/1.1 as far as a stream needs it, and what old radio servers speak instead. Every read has a limit in time and
//! every line in length. Only addresses that the operator named are asked, and where those redirect to.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::head::{Chunked, Head, playlist_entry, resolve};
use super::icy::Icy;
use super::titles::Titles;
use super::trouble::Trouble;
use super::{Incoming, Kind};
use crate::source::playlist::percent_decoded;

/// Longest wait for a connection, and for the next bytes of one.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const READ_WITHIN: Duration = Duration::from_secs(30);

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

/// Redirects, and playlists that name the stream, that are followed.
const REDIRECTS_MAX: usize = 5;

/// Largest playlist that is looked at. Those of radios have a few lines.
const PLAYLIST_BYTES_MAX: u64 = 64 * 1024;

/// An address that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Address(Uri);

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`Trouble::Address`].
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let uri: Uri = text.parse().map_err(|_| Trouble::Address("it is not a web address"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Trouble::Address("it does not begin with http:// or https://"));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(Trouble::Address("it names no host"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Trouble::Address("names and passwords in it are not supported"));
        }
        Ok(Self(uri))
    }

    /// The host, for people.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// What a file at this address is called, for people: the query may hold a secret.
    pub(super) fn file(&self) -> String {
        let name = self.0.path().rsplit('/').next().unwrap_or_default();
        let name = String::from_utf8_lossy(&percent_decoded(name)).into_owned();
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        if stem.is_empty() { self.host().to_owned() } else { stem.to_owned() }
    }

    fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    fn request(&self) -> String {
        let path = self.0.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: partyline/{}\r\nAccept: audio/*, */*;q=0.1\r\n\
             Icy-MetaData: 1\r\nConnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// Asks for the stream at `address`. `connected` gets each socket, to be shut when nobody wants it any more.
///
/// # Errors
///
/// [`Trouble`].
pub(super) fn fetch(address: &Address, connected: impl Fn(TcpStream)) -> Result<Incoming, Trouble> {
    let mut address = address.clone();
    for _ in 0..=REDIRECTS_MAX {
        let mut stream = connect(&address, &connected)?;
        stream.write_all(address.request().as_bytes()).map_err(Trouble::Lost)?;
        let mut stream = BufReader::new(stream);
        let head = Head::read(&mut stream)?;
        match head.status {
            200 => {}
            300..400 => {
                let location = head.get("location").ok_or(Trouble::Status(head.status))?;
                address = Address::parse(&resolve(&address.0, location))?;
                continue;
            }
            status => return Err(Trouble::Status(status)),
        }
        let length = head.get("content-length").and_then(|length| length.parse().ok());
        let is_chunked =
            head.get("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
        let mut body: Box<dyn Read + Send> = match length {
            _ if is_chunked => Box::new(Chunked::new(stream)),
            Some(length) => Box::new(Whole { inner: stream, left: length }),
            None => Box::new(Endless(stream)),
        };
        if head.is_playlist() {
            let mut text = Vec::new();
            body.take(PLAYLIST_BYTES_MAX).read_to_end(&mut text).map_err(Trouble::Lost)?;
            let entry = playlist_entry(&String::from_utf8_lossy(&text))?;
            address = Address::parse(&resolve(&address.0, &entry))?;
            continue;
        }
        head.check_type()?;
        let titles = Titles::default();
        if let Some(interval) = head.get("icy-metaint") {
            let interval = interval.parse().unwrap_or(0);
            let icy = Icy::new(body, interval, titles.clone());
            body = Box::new(icy.ok_or(Trouble::NotHttp("its icy-metaint cannot be"))?);
        }
        let is_file = length.is_some() && !is_chunked && !head.is_radio();
        let kind = if is_file { Kind::Whole } else { Kind::Endless };
        let station = match head.get("icy-name") {
            Some(name) => name.to_owned(),
            None if is_file => address.file(),
            None => address.host().to_owned(),
        };
        return Ok(Incoming { bytes: body, kind, station, titles, is_he_aac: head.is_he_aac() });
    }
    Err(Trouble::Redirects(REDIRECTS_MAX))
}

/// A connection, encrypted or not.
enum Connection {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
        };
        // What Unix says when a read takes too long means nothing to a person.
        read.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                io::Error::new(ErrorKind::TimedOut, "nothing came for 30 s")
            }
            _ => error,
        })
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

fn connect(address: &Address, connected: &impl Fn(TcpStream)) -> Result<Connection, Trouble> {
    let unreachable = |error: io::Error| Trouble::Unreachable(error.to_string());
    let host = address.host().trim_start_matches('[').trim_end_matches(']');
    let port = address.0.port_u16().unwrap_or(if address.is_secure() { 443 } else { 80 });
    let mut last = Trouble::Unreachable("the host has no address".to_owned());
    for to in (host, port).to_socket_addrs().map_err(unreachable)?.take(ADDRESSES_MAX) {
        let stream = match TcpStream::connect_timeout(&to, CONNECT_WITHIN) {
            Ok(stream) => stream,
            Err(error) => {
                last = unreachable(error);
                continue;
            }
        };
        stream.set_read_timeout(Some(READ_WITHIN)).map_err(unreachable)?;
        stream.set_write_timeout(Some(CONNECT_WITHIN)).map_err(unreachable)?;
        connected(stream.try_clone().map_err(unreachable)?);
        if !address.is_secure() {
            return Ok(Connection::Plain(stream));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Trouble::Address("its host cannot have a certificate"))?;
        let tls = |error: rustls::Error| Trouble::Unreachable(error.to_string());
        let mut client = ClientConnection::new(Arc::new(client_config()?), name).map_err(tls)?;
        let mut stream = stream;
        client.complete_io(&mut stream).map_err(|error| of_handshake(&error))?;
        return Ok(Connection::Secure(Box::new(StreamOwned::new(client, stream))));
    }
    Err(last)
}

/// What a failed handshake means.
fn of_handshake(error: &io::Error) -> Trouble {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => Trouble::Certificate(why.to_string()),
        _ => Trouble::Unreachable(error.to_string()),
    }
}

/// Trusts whom this machine trusts, and who is trusted everywhere if it has no list of its own.
fn client_config() -> Result<ClientConfig, Trouble> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::Unreachable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A body of stated length: less is a loss, not an end.
struct Whole<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "it ended too early"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// A body that ends with the connection, politely or not.
struct Endless<R>(R);

impl<R: BufRead> Read for Endless<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in [
            "http://a",
            "https://a.example:8443/x?y=z",
            "HTTP://127.0.0.1:8000/",
            "http://[::1]:80/a",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://",
            "ftp://a/b",
            "http://a b/",
            "file:///etc/passwd",
            "http://u:p@a/",
            "http:///x",
            "x",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_called_by_its_name_and_not_by_what_may_be_secret() {
        for (url, name) in [
            ("http://a/music/Bj%C3%B6rk%20live.mp3?key=secret", "Björk live"),
            ("http://a.example/stream", "stream"),
            ("http://a.example/?key=secret", "a.example"),
            ("http://a.example/.mp3", "a.example"),
        ] {
            assert_eq!(Address::parse(url).unwrap().file(), name);
        }
    }
}
