//! What others on the local network see of a party, in a network of the kernel's. Skipped where none may be made.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::process::server_binary;
use mdns_sd::{IfKind, ResolvedService, ServiceDaemon, ServiceEvent};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The namespace, which is this test's alone, and both ends of its network.
const SITE: &str = "partyline-mdns";
const HERE: &str = "plmdns0";
const THERE: &str = "plmdns1";

/// The server's addresses there.
const ADDRESSES: [&str; 2] = ["10.77.9.2", "fd77:9::2"];

/// How long names are looked for, and how long nothing has to be seen of what is not announced: three probes and two
/// announcements take two seconds (RFC 6762, 8).
const SEEN_LIMIT: Duration = Duration::from_secs(20);
const UNSEEN_FOR: Duration = Duration::from_secs(5);

const SERVICE: &str = "_sendspin-server._tcp.local.";

/// A network that ends with it.
struct Network;

impl Network {
    /// `None` where this is not permitted.
    fn make() -> Option<Self> {
        drop(Self);
        let [v4, v6] = ADDRESSES;
        for line in [
            format!("netns add {SITE}"),
            format!("link add {HERE} type veth peer name {THERE} netns {SITE}"),
            format!("addr add 10.77.9.1/24 dev {HERE}"),
            format!("addr add fd77:9::1/64 dev {HERE} nodad"),
            format!("link set {HERE} up"),
            format!("-n {SITE} addr add {v4}/24 dev {THERE}"),
            format!("-n {SITE} addr add {v6}/64 dev {THERE} nodad"),
            format!("-n {SITE} link set {THERE} up"),
            format!("-n {SITE} link set lo up"),
        ] {
            if !ip(&line) {
                eprintln!("skipped: `ip {line}` is not permitted");
                return None;
            }
        }
        Some(Self)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&format!("netns del {SITE}"));
    }
}

fn ip(line: &str) -> bool {
    let mut command = std::process::Command::new("ip");
    let done = command.args(line.split(' ')).stderr(Stdio::null()).status();
    done.is_ok_and(|done| done.success())
}

/// A server in the network, and its port.
async fn server(options: &[&str]) -> Result<(Child, u16)> {
    let mut server = Command::new("ip")
        .args(["netns", "exec", SITE])
        .arg(server_binary()?)
        .args(["--source", "demo", "--port", "0"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = server.stdout.take().context("no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = timeout(SEEN_LIMIT, lines.next_line()).await??.context("it does not start")?;
    let port = line.rsplit_once(':').context("no port")?.1.parse()?;
    Ok((server, port))
}

/// Somebody at the other end who looks for parties.
struct Browser {
    daemon: ServiceDaemon,
    events: mdns_sd::Receiver<ServiceEvent>,
}

impl Browser {
    fn start() -> Result<Self> {
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(HERE)?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self { daemon, events })
    }

    /// The next party that is found, with an address of each of these.
    async fn found(&self, wanted: &[&str]) -> Result<Box<ResolvedService>> {
        let finding = async {
            loop {
                if let ServiceEvent::ServiceResolved(service) = self.events.recv_async().await?
                    && wanted
                        .iter()
                        .all(|wanted| addresses(&service).contains(&(*wanted).to_owned()))
                {
                    return anyhow::Ok(service);
                }
            }
        };
        timeout(SEEN_LIMIT, finding).await.context("nothing is announced")?
    }

    /// Waits until it is heard that a party is over.
    async fn gone(&self, name: &str) -> Result<()> {
        let leaving = async {
            loop {
                if let ServiceEvent::ServiceRemoved(_, gone) = self.events.recv_async().await?
                    && gone == name
                {
                    return anyhow::Ok(());
                }
            }
        };
        timeout(Duration::from_secs(5), leaving).await.context("no goodbye")?
    }

    /// Sees that nothing is found for some time.
    async fn finds_nothing(&self) -> Result<()> {
        let looking = async {
            loop {
                if let ServiceEvent::ServiceResolved(service) = self.events.recv_async().await? {
                    bail!("{}", service.get_fullname());
                }
            }
        };
        timeout(UNSEEN_FOR, looking).await.unwrap_or(Ok(()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

fn addresses(service: &ResolvedService) -> Vec<String> {
    service.get_addresses().iter().map(|it| it.to_ip_addr().to_string()).collect()
}

fn terminate(server: &Child) -> Result<()> {
    let id = Pid::from_raw(i32::try_from(server.id().context("it is gone")?)?).context("no id")?;
    Ok(kill_process(id, Signal::TERM)?)
}

/// One test, because there is one network.
#[tokio::test]
async fn a_party_is_found_with_all_that_players_need_and_says_goodbye() -> Result<()> {
    let Some(_network) = Network::make() else { return Ok(()) };

    let (first, port) = server(&["--host", "::", "--name", "Küche", "--base-path", "/a"]).await?;
    let browser = Browser::start()?;
    let found = browser.found(&ADDRESSES).await?;
    assert_eq!(found.get_port(), port);
    assert_eq!(found.get_property_val_str("path"), Some("/a/sendspin"));
    assert_eq!(found.get_property_val_str("name"), Some("Küche"));
    for address in addresses(&found) {
        assert!(!address.parse::<IpAddr>()?.is_loopback(), "{address}");
    }
    let name = found.get_fullname().to_owned();

    // A second one on the same host is another one, and one that listens to IPv4 says nothing of the other kind.
    let (second, other_port) = server(&["--name", "Küche"]).await?;
    let other = browser.found(&ADDRESSES[..1]).await?;
    ensure!(other.get_fullname() != name, "{name} twice");
    assert_eq!(other.get_port(), other_port);
    assert_eq!(addresses(&other), ADDRESSES[..1]);
    assert_eq!(other.get_property_val_str("path"), Some("/sendspin"));

    terminate(&first)?;
    browser.gone(&name).await?;
    terminate(&second)?;
    browser.gone(other.get_fullname()).await?;
    drop(browser);

    for quiet in [&["--no-mdns"][..], &["--host", "127.0.0.1"]] {
        let (_server, _) = server(quiet).await?;
        Browser::start()?.finds_nothing().await?;
    }

    // One of several processes speaks for all.
    let (workers, port) = server(&["--workers", "2"]).await?;
    let browser = Browser::start()?;
    let found = browser.found(&ADDRESSES[..1]).await?;
    assert_eq!(found.get_port(), port);
    let name = found.get_fullname().to_owned();
    ensure!(browser.finds_nothing().await.is_ok(), "more than one process is announced");
    terminate(&workers)?;
    browser.gone(&name).await
}
