//! Addresses that origins and edges meet at, and which of them are safe.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// How messages are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Tcp,
    Tls,
    Quic,
    Unix,
}

/// An address, as `tcp/192.168.1.10:7447`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    carrier: Carrier,
    /// Host and port, or a path.
    address: String,
}

/// What is wrong with an address. Shows as one line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It does not begin with a kind that there is.
    #[error("expected tcp/HOST:PORT, tls/HOST:PORT, quic/HOST:PORT or unixsock-stream/PATH")]
    Kind,
    /// There is no host.
    #[error("expected a host name or address before the port")]
    Host,
    /// There is no port.
    #[error("expected a port from 1 to 65535 after the host")]
    Port,
    /// There is no path.
    #[error("expected an absolute path")]
    Path,
    /// It has more to it than an address.
    #[error("expected an address without `?`, `#` and `;`")]
    Extra,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (carrier, address) = text.split_once('/').ok_or(EndpointError::Kind)?;
        let carrier = match carrier {
            "tcp" => Carrier::Tcp,
            "tls" => Carrier::Tls,
            "quic" => Carrier::Quic,
            "unixsock-stream" => Carrier::Unix,
            _ => return Err(EndpointError::Kind),
        };
        // Zenoh reads options behind these.
        if address.contains(['?', '#', ';']) || address.contains(char::is_control) {
            return Err(EndpointError::Extra);
        }
        if carrier == Carrier::Unix {
            if !address.starts_with('/') {
                return Err(EndpointError::Path);
            }
        } else {
            let (host, port) = address.rsplit_once(':').ok_or(EndpointError::Port)?;
            if !port.parse::<u16>().is_ok_and(|port| port > 0) {
                return Err(EndpointError::Port);
            }
            if host.is_empty() || host.contains(['/', ' ']) {
                return Err(EndpointError::Host);
            }
        }
        Ok(Self { carrier, address: address.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let carrier = match self.carrier {
            Carrier::Tcp => "tcp",
            Carrier::Tls => "tls",
            Carrier::Quic => "quic",
            Carrier::Unix => "unixsock-stream",
        };
        write!(f, "{carrier}/{}", self.address)
    }
}

impl Endpoint {
    /// A socket in the file system.
    #[must_use]
    pub fn unix(path: &str) -> Self {
        Self { carrier: Carrier::Unix, address: path.to_owned() }
    }

    /// Host and port, to be looked up; `None` for a path.
    #[must_use]
    pub fn host_and_port(&self) -> Option<&str> {
        (self.carrier != Carrier::Unix).then_some(self.address.as_str())
    }

    /// Whether what goes over it cannot be read or changed on the way.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.carrier, Carrier::Tls | Carrier::Quic)
    }

    /// Whether what goes over it, between `addresses` that its host stands for, stays on this machine or a network of its
    /// owner's.
    #[must_use]
    pub fn is_private(&self, addresses: &[IpAddr]) -> bool {
        self.carrier == Carrier::Unix
            || (!addresses.is_empty() && addresses.iter().all(|&address| is_private(address)))
    }
}

/// Whether no packet from the public internet has this address: loopback, private networks (RFC 1918, RFC 4193), and those
/// of one link (RFC 3927, RFC 4291). "All addresses of this machine" is not private.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local()
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            "tcp/127.0.0.1:7447",
            "tls/origin.example:7447",
            "quic/[2001:db8::1]:1",
            "unixsock-stream//run/party/origin.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn wrong_addresses_are_told_in_words() {
        for (text, error) in [
            ("origin.example:7447", EndpointError::Kind),
            ("http/origin.example:80", EndpointError::Kind),
            ("tcp/origin.example", EndpointError::Port),
            ("tcp/origin.example:0", EndpointError::Port),
            ("tcp/origin.example:99999", EndpointError::Port),
            ("tcp/:7447", EndpointError::Host),
            ("unixsock-stream/a.sock", EndpointError::Path),
            ("tcp/a:1#iface=eth0", EndpointError::Extra),
            ("tls/a:1;verify_name_on_connect=false", EndpointError::Extra),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
        }
    }

    #[test]
    fn only_private_networks_are_private() {
        let endpoint: Endpoint = "tcp/a:1".parse().expect("an address");
        let private = |text: &str| endpoint.is_private(&[text.parse().expect(text)]);
        for text in
            ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.1.1", "::1", "fd00::1", "fe80::1"]
        {
            assert!(private(text), "{text}");
        }
        for text in ["0.0.0.0", "8.8.8.8", "172.32.0.1", "::", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!private(text), "{text}");
        }
        assert!(!endpoint.is_private(&[]));
        assert!(Endpoint::unix("/a").is_private(&[]));
    }
}
