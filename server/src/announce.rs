//! Tells the local network that there is a party (mDNS, RFC 6762 and 6763), so that players without a browser find it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceInfo};
use tokio::time::timeout;

use crate::config::Config;
use crate::server::identity;

/// What servers that players come to are announced as, in the Sendspin specification.
const SERVICE: &str = "_sendspin-server._tcp.local.";

/// Longest piece of text in an announcement, in bytes, with its key (RFC 6763, 6.1).
const TEXT_BYTES_MAX: usize = 255;

/// How long saying goodbye may take. It takes a few milliseconds, and nobody waits for an answer.
const GOODBYE_WITHIN: Duration = Duration::from_millis(300);

/// An announcement, until it is taken back.
pub struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcement").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Announcement {
    /// Announces the party of `config` that is bound to `address`, unless that is not wanted, or no use. That it cannot be
    /// done is a warning: guests have the address.
    #[must_use]
    pub fn start(config: &Config, address: SocketAddr) -> Option<Self> {
        if !is_wanted(config, address.ip()) {
            return None;
        }
        match announce(config, address) {
            Ok(announcement) => Some(announcement),
            Err(error) => {
                tracing::warn!("the party is not announced on the local network: {error}");
                None
            }
        }
    }

    /// Says that the party is over, so that nobody looks for it.
    pub async fn take_back(self) {
        let goodbye = async {
            done(self.daemon.unregister(&self.name)).await;
            done(self.daemon.shutdown()).await;
        };
        // Who does not hear it will find out.
        let _ = timeout(GOODBYE_WITHIN, goodbye).await;
    }
}

/// Waits until something asked for is done. Errors say that there is nobody left to do it.
async fn done<T>(asked: mdns_sd::Result<Receiver<T>>) {
    if let Ok(answer) = asked {
        let _ = answer.recv_async().await;
    }
}

fn announce(config: &Config, address: SocketAddr) -> mdns_sd::Result<Announcement> {
    let service = service(config, address)?;
    let name = service.get_fullname().to_owned();
    let daemon = ServiceDaemon::new()?;
    daemon.disable_interface(IfKind::All)?;
    daemon.enable_interface(reachable(address.ip()))?;
    daemon.register(service)?;
    tracing::info!(%name, "announced on the local network");
    Ok(Announcement { daemon, name })
}

fn service(config: &Config, address: SocketAddr) -> mdns_sd::Result<ServiceInfo> {
    let identity = identity(config, address.port());
    let id = identity.server_id;
    let texts = texts(&config.base_path.to_string(), &identity.name);
    // A name of its own for the host: that of the machine may be announced by the system, with other addresses.
    let host = format!("{id}.local.");
    let mut service =
        ServiceInfo::new(SERVICE, &id, &host, "", address.port(), &texts[..])?.enable_addr_auto();
    service.set_interfaces(vec![reachable(address.ip())]);
    Ok(service)
}

/// What players are told besides the address.
fn texts(base: &str, name: &str) -> [(&'static str, String); 2] {
    let name = &name[..name.floor_char_boundary(TEXT_BYTES_MAX - "name=".len())];
    [("path", format!("{base}/sendspin")), ("name", name.to_owned())]
}

/// Whether a party at this address is to be announced, by this process.
fn is_wanted(config: &Config, bound: IpAddr) -> bool {
    // Players that look for a server open `ws://`, as the specification has it, and TLS is not what they expect there.
    let is_for_players = !config.entrance().is_secure;
    let is_for_others = !bound.is_loopback();
    // Who plays nothing follows an origin, which speaks for the party.
    let is_the_party = !config.sources.is_empty();
    is_for_players && is_for_others && is_the_party && !config.no_mdns
}

/// The addresses at which a server is reached that is bound to `bound`.
fn reachable(bound: IpAddr) -> IfKind {
    IfKind::Predicate(IfPredicate::new(move |interface| is_reached(bound, interface.ip())))
}

/// Whether a server that is bound to `bound` is reached by others at this host's address `own`.
fn is_reached(bound: IpAddr, own: IpAddr) -> bool {
    let is_of_kind = match bound {
        bound if !bound.is_unspecified() => own == bound,
        IpAddr::V4(_) => own.is_ipv4(),
        // All addresses of the newer kind are those of the older one too, but on Windows.
        IpAddr::V6(_) => own.is_ipv6() || !cfg!(windows),
    };
    is_of_kind && !own.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn config(options: &[&str]) -> Config {
        let line = ["server", "--source", "demo"].iter().chain(options);
        Config::try_parse_from(line).expect("valid options")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_addresses_that_answer_are_announced() {
        for (bound, own, expected) in [
            ("0.0.0.0", "192.168.1.2", true),
            ("0.0.0.0", "127.0.0.1", false),
            ("0.0.0.0", "fd00::2", false),
            ("::", "fd00::2", true),
            ("::", "192.168.1.2", !cfg!(windows)),
            ("::", "::1", false),
            ("192.168.1.2", "192.168.1.2", true),
            ("192.168.1.2", "10.0.0.2", false),
            ("127.0.0.1", "127.0.0.1", false),
        ] {
            assert_eq!(is_reached(address(bound), address(own)), expected, "{bound} {own}");
        }
    }

    #[test]
    fn only_who_is_meant_for_players_is_announced() {
        let everywhere = address("0.0.0.0");
        assert!(is_wanted(&config(&[]), everywhere));
        assert!(!is_wanted(&config(&["--no-mdns"]), everywhere));
        for local in ["127.0.0.1", "127.1.2.3", "::1"] {
            assert!(!is_wanted(&config(&[]), address(local)), "{local}");
        }
        #[cfg(feature = "tls")]
        assert!(!is_wanted(&config(&["--acme", "party.example"]), everywhere));
        #[cfg(feature = "cluster")]
        {
            let edge = ["server", "--edge", "tcp/10.0.0.1:7447"];
            assert!(!is_wanted(&Config::try_parse_from(edge).expect("valid"), everywhere));
            assert!(is_wanted(&config(&["--workers", "2"]), everywhere));
        }
    }

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let [(_, path), (_, name)] = texts("/a", &"ä".repeat(200));
        assert_eq!((path.as_str(), name.len()), ("/a/sendspin", 250));
        assert_eq!(texts("", "Party")[0].1, "/sendspin");
    }

    #[test]
    fn an_announcement_holds_what_players_ask_for() {
        let config = config(&["--name", "Küche", "--base-path", "/a"]);
        let service = service(&config, SocketAddr::from(([0, 0, 0, 0], 8927))).expect("a service");
        assert_eq!(service.get_property_val_str("path"), Some("/a/sendspin"));
        assert_eq!(service.get_property_val_str("name"), Some("Küche"));
        assert_eq!(service.get_port(), 8927);
        let other =
            self::service(&config, SocketAddr::from(([0, 0, 0, 0], 8928))).expect("a service");
        assert_ne!(service.get_fullname(), other.get_fullname());
    }
}
