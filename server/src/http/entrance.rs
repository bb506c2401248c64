//! Where a party is found: what its server says when it starts, what guests open, and the path below which everything is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

use axum::http::Uri;
use thiserror::Error;

/// Longest path below which a party may be, in characters: it has to fit into a QR code that phones read well.
const PATH_CHARS_MAX: usize = 100;

/// Longest address for guests, in characters. The same reason.
const URL_CHARS_MAX: usize = 250;

/// `http://host:port` as a person types it.
#[must_use]
pub fn url(host: &str, port: u16) -> String {
    format!("http://{}", authority(host, port))
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A path below which everything is, as `/music/party`: without a slash at its end, and empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// Why a path is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "expected a path as `/music/party`, of letters, digits, `-`, `_`, `.` and `~`, at most {PATH_CHARS_MAX} characters"
)]
pub struct BasePathError;

impl FromStr for BasePath {
    type Err = BasePathError;

    fn from_str(text: &str) -> Result<Self, BasePathError> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.is_empty() && text == "/" {
            return Ok(Self::default());
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        let is_name = |name: &str| {
            !name.is_empty() && name != "." && name != ".." && name.chars().all(is_plain)
        };
        let names = path.strip_prefix('/').ok_or(BasePathError)?;
        if path.len() > PATH_CHARS_MAX || !names.split('/').all(is_name) {
            return Err(BasePathError);
        }
        Ok(Self(path.to_owned()))
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a request's path is to a base path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below<'a> {
    /// Below it: the rest, which begins with a slash.
    Rest(&'a str),
    /// The path itself, without a slash at its end. A page there could not name its files relative to itself.
    Bare,
    /// Somewhere else.
    Outside,
}

impl BasePath {
    /// Whether everything is at the root.
    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// What `path` is to this one.
    pub(crate) fn locate<'a>(&self, path: &'a str) -> Below<'a> {
        match path.strip_prefix(self.0.as_str()) {
            Some("") => Below::Bare,
            Some(rest) if rest.starts_with('/') => Below::Rest(rest),
            _ => Below::Outside,
        }
    }
}

/// The address that guests open, when a person or a proxy knows it better than this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme, host and port, as browsers name the origin of a page.
    origin: String,
    path: BasePath,
}

/// Why an address is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "expected an address as `https://party.example` or `https://home.example/music/party`, without user, `?` and `#`, at most {URL_CHARS_MAX} characters"
)]
pub struct PublicUrlError;

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        // The library takes what follows a `#` for nothing.
        if text.len() > URL_CHARS_MAX || text.contains(['#', '?', '@']) {
            return Err(PublicUrlError);
        }
        let uri: Uri = text.parse().map_err(|_| PublicUrlError)?;
        let (scheme, usual_port) = match uri.scheme_str() {
            Some("https") => ("https", 443),
            Some("http") => ("http", 80),
            _ => return Err(PublicUrlError),
        };
        let authority = uri.authority().ok_or(PublicUrlError)?;
        let host = authority.host().to_ascii_lowercase();
        let has_port = authority.as_str().len() > host.len();
        let port = match authority.port_u16() {
            None if has_port => return Err(PublicUrlError),
            Some(port) if port != usual_port => format!(":{port}"),
            _ => String::new(),
        };
        if host.is_empty() || host == "[]" {
            return Err(PublicUrlError);
        }
        let path = uri.path().parse().map_err(|_| PublicUrlError)?;
        Ok(Self { origin: format!("{scheme}://{host}{port}"), path })
    }
}

impl PublicUrl {
    /// Where its pages come from, in the words of browsers.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", page(&self.origin, &self.path))
    }
}

/// The page below `path`. A page that is not at the root needs the slash.
fn page(origin: &str, path: &BasePath) -> String {
    if path.is_root() { origin.to_owned() } else { format!("{origin}{path}/") }
}

/// The ways to a server's page.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    /// As asked for.
    pub(crate) host: String,
    /// Connections are encrypted.
    pub(crate) is_secure: bool,
    /// The name that the certificate is for, if that is known.
    pub(crate) name: Option<String>,
    /// Below what everything is.
    pub(crate) path: BasePath,
    /// What guests are to open instead.
    pub(crate) public: Option<PublicUrl>,
}

impl Entrance {
    /// What the server listens to, with its real port.
    #[must_use]
    pub fn listening(&self, port: u16) -> String {
        self.origin(&self.host, port)
    }

    /// Where guests on the same network reach a server that is bound to `address`: as asked, unless that means every
    /// interface.
    #[must_use]
    pub fn join_url(&self, address: SocketAddr) -> String {
        if let Some(public) = &self.public {
            return public.to_string();
        }
        let port = address.port();
        let origin = match &self.name {
            Some(name) if port == 443 => format!("https://{name}"),
            Some(name) => self.origin(name, port),
            None if !address.ip().is_unspecified() => self.origin(&self.host, port),
            None => {
                let reachable = outward_address(address.ip()).unwrap_or(match address.ip() {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
                });
                self.origin(&reachable.to_string(), port)
            }
        };
        page(&origin, &self.path)
    }

    fn origin(&self, host: &str, port: u16) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}", authority(host, port))
    }
}

/// This machine's address on the way out. Connecting a datagram socket sends nothing: it only asks the
/// system which address it would send from. The destinations are reserved for documentation (RFC 5737, 3849).
fn outward_address(family: IpAddr) -> Option<IpAddr> {
    let (any, destination) = match family {
        IpAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9"),
        IpAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9"),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(destination).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrance(host: &str) -> Entrance {
        Entrance { host: host.to_owned(), ..Entrance::default() }
    }

    const ALL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1234);

    #[test]
    fn ipv6_stands_in_brackets() {
        assert_eq!(url("::1", 8927), "http://[::1]:8927");
        assert_eq!(url("127.0.0.1", 80), "http://127.0.0.1:80");
        let secure = Entrance { is_secure: true, ..entrance("::1") };
        assert_eq!(secure.listening(8927), "https://[::1]:8927");
    }

    #[test]
    fn a_bound_address_is_given_as_asked() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1234));
        assert_eq!(entrance("localhost").join_url(address), "http://localhost:1234");
        let path = "/music/party/".parse().unwrap();
        let below = Entrance { path, is_secure: true, ..entrance("localhost") };
        assert_eq!(below.join_url(address), "https://localhost:1234/music/party/");
    }

    #[test]
    fn every_interface_is_never_the_answer() {
        let joined = entrance("0.0.0.0").join_url(ALL);
        assert!(joined.starts_with("http://") && joined.ends_with(":1234"));
        assert!(!joined.contains("0.0.0.0"));
    }

    #[test]
    fn a_name_is_better_than_a_number_and_a_persons_word_better_than_both() {
        let name = Some("party.example".to_owned());
        let mut named = Entrance { name, is_secure: true, ..entrance("0.0.0.0") };
        assert_eq!(named.join_url(ALL), "https://party.example:1234");
        assert_eq!(named.join_url(SocketAddr::new(ALL.ip(), 443)), "https://party.example");
        named.public = Some("http://HOME.example:80/music".parse().unwrap());
        assert_eq!(named.join_url(ALL), "http://home.example/music/");
    }

    #[test]
    fn addresses_for_guests_are_checked() {
        for (text, shown, origin) in [
            ("https://Party.Example:443/", "https://party.example", "https://party.example"),
            ("http://10.0.0.1:8080/a/b", "http://10.0.0.1:8080/a/b/", "http://10.0.0.1:8080"),
            ("http://[fd00::1]:8927", "http://[fd00::1]:8927", "http://[fd00::1]:8927"),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.origin()), (shown, origin));
        }
        let long = format!("https://party.example/{}", "a".repeat(URL_CHARS_MAX));
        for wrong in [
            "",
            "party.example",
            "/party",
            "ftp://party.example",
            "ws://party.example",
            "https://",
            "https://:443",
            "https://party.example:",
            "https://party.example:70000",
            "https://me:secret@party.example",
            "https://party.example/?a=b",
            "https://party.example/#a",
            "https://party.example/a b",
            "https://party.example/../a",
            "javascript:alert(1)",
            &long,
        ] {
            assert_eq!(wrong.parse::<PublicUrl>(), Err(PublicUrlError), "{wrong}");
        }
    }

    #[test]
    fn paths_are_checked() {
        for (text, path) in [("/", ""), ("/a", "/a"), ("/a/b-c_d.e~/", "/a/b-c_d.e~")] {
            assert_eq!(text.parse::<BasePath>().unwrap().to_string(), path);
        }
        let long = format!("/{}", "a".repeat(PATH_CHARS_MAX));
        for wrong in [
            "", "a", "a/", "//", "//a", "/a//b", "/a//", "/.", "/a/../b", "/a b", "/ä", "/a?b",
            &long,
        ] {
            assert_eq!(wrong.parse::<BasePath>(), Err(BasePathError), "{wrong}");
        }
    }

    #[test]
    fn requests_are_below_a_path_or_not() {
        let base: BasePath = "/a/b".parse().unwrap();
        for (path, below) in [
            ("/a/b", Below::Bare),
            ("/a/b/", Below::Rest("/")),
            ("/a/b/api/status", Below::Rest("/api/status")),
            ("/a/b//", Below::Rest("//")),
            ("/a/bc", Below::Outside),
            ("/a", Below::Outside),
            ("/", Below::Outside),
            ("/x/a/b/", Below::Outside),
            ("*", Below::Outside),
        ] {
            assert_eq!(base.locate(path), below, "{path}");
        }
    }
}
