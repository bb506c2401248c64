//! The address that guests open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// `http://host:port` as a person types it.
#[must_use]
pub fn url(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("http://[{host}]:{port}")
    } else {
        format!("http://{host}:{port}")
    }
}

/// Where guests on the same network reach a server that is bound to `address` and was asked to listen on
/// `host`: as asked, unless that means every interface.
#[must_use]
pub fn join_url(host: &str, address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return url(host, address.port());
    }
    let reachable = outward_address(address.ip()).unwrap_or(match address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    });
    url(&reachable.to_string(), address.port())
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

    #[test]
    fn ipv6_stands_in_brackets() {
        assert_eq!(url("::1", 8927), "http://[::1]:8927");
        assert_eq!(url("127.0.0.1", 80), "http://127.0.0.1:80");
    }

    #[test]
    fn a_bound_address_is_given_as_asked() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1234));
        assert_eq!(join_url("localhost", address), "http://localhost:1234");
    }

    #[test]
    fn every_interface_is_never_the_answer() {
        let joined = join_url("0.0.0.0", SocketAddr::from(([0, 0, 0, 0], 1234)));
        assert!(joined.starts_with("http://") && joined.ends_with(":1234"));
        assert!(!joined.contains("0.0.0.0"));
    }
}
