//! The party beyond one process, as it is asked for on the command line: origin, edges, workers.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::lookup_host;

pub use crate::uplink::endpoint::{Endpoint, EndpointError};
pub use crate::uplink::transport::UplinkError;
pub(crate) use crate::uplink::transport::{Meeting, Tls};

/// Most workers: more than any machine has use for.
const WORKERS_MAX: u16 = 256;

/// Shortest and longest secret, in characters. 22 random letters and digits have 128 bits.
const SECRET_CHARS_MIN: usize = 16;
const SECRET_CHARS_MAX: usize = 200;

/// Longest id of a party, in characters.
const PARTY_CHARS_MAX: usize = 64;

/// One party on several processes or machines.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own on the command line"
)]
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "More than one process")]
pub struct Cluster {
    /// Serve from so many processes behind one port, started and watched by this one, which decodes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX)))]
    pub workers: Option<u16>,

    /// Give the workers consecutive ports from --port on instead, for those who run a load balancer.
    #[arg(long, requires = "workers")]
    pub worker_ports: bool,

    /// Be an edge: play no source, but follow the origin at this address, or through a Zenoh router there. Give it more
    /// than once for several ways to it.
    #[arg(long, value_name = "ENDPOINT", conflicts_with_all = ["sources", "name", "no_loop", "repeat", "shuffle", "no_replay_gain", "normalize", "serve_edges", "edges_via"])]
    pub edge: Vec<Endpoint>,

    /// Be an origin: let edges follow at this address, as `tls/0.0.0.0:7447`.
    #[arg(long, value_name = "ENDPOINT")]
    pub serve_edges: Vec<Endpoint>,

    /// Be an origin: let edges follow through the Zenoh router at this address.
    #[arg(long, value_name = "ENDPOINT")]
    pub edges_via: Vec<Endpoint>,

    /// Tells parties behind one router apart: letters, digits, `-` and `_`.
    #[arg(long, value_name = "ID", default_value = "main", value_parser = party)]
    pub party: String,

    /// File with a secret that origin and edges share, 16 characters or more.
    #[arg(long, value_name = "FILE")]
    pub edge_secret: Option<PathBuf>,

    /// Certificate of whoever signs the other side's, for `tls` and `quic`, as PEM. With it an origin asks edges for theirs.
    #[arg(long, value_name = "FILE")]
    pub edge_ca: Option<PathBuf>,

    /// This side's own certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "edge_key")]
    pub edge_cert: Option<PathBuf>,

    /// The key of this side's own certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "edge_cert")]
    pub edge_key: Option<PathBuf>,

    /// Let edges meet their origin on public addresses without encryption and proof.
    #[arg(long)]
    pub insecure_edges: bool,

    /// Ends when its standard input does: a worker.
    #[arg(long, hide = true, requires = "edge")]
    pub worker: bool,

    /// Shares its port with other workers.
    #[arg(long, hide = true, requires = "worker")]
    pub shared_port: bool,
}

/// Why the options do not fit together, or the world. Shows as one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// Two options that cannot both be.
    #[error("{0} cannot be used with {1}: {2}")]
    Conflict(&'static str, &'static str, &'static str),
    /// An address that strangers can reach, without what keeps them out.
    #[error(
        "{option} {endpoint}: this address is not known to be private; expected tls/ or quic/ with --edge-secret or client certificates (--edge-ca on the origin, --edge-cert on edges), or --insecure-edges"
    )]
    Insecure {
        /// The option.
        option: &'static str,
        /// Its value.
        endpoint: Endpoint,
    },
    /// A name that nobody knows, so that it cannot be said whether it is private.
    #[error(
        "{option} {endpoint}: the name is not known, so this cannot be told to be private; expected a name that is known when this starts, an address, or --insecure-edges"
    )]
    Unknown {
        /// The option.
        option: &'static str,
        /// Its value.
        endpoint: Endpoint,
    },
    /// A listening address that is encrypted has no certificate.
    #[error("--serve-edges {0}: encryption needs --edge-cert and --edge-key")]
    NoCertificate(Endpoint),
    /// A file cannot be read.
    #[error("{option} {}: {error}", file.display())]
    File {
        /// The option.
        option: &'static str,
        /// Its value.
        file: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// The file with the secret has none.
    #[error(
        "--edge-secret {}: expected one line of {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} printable characters without `:` and space", .0.display()
    )]
    Secret(PathBuf),
    /// Workers are not possible here.
    #[error(
        "--workers needs a system with Unix sockets and shared ports; run several --edge instead"
    )]
    NoWorkers,
}

impl Cluster {
    /// Whether this process follows an origin.
    pub(crate) fn is_edge(&self) -> bool {
        !self.edge.is_empty()
    }

    /// Where this process meets others, and how they know each other.
    ///
    /// # Errors
    ///
    /// [`ClusterError`].
    pub(crate) async fn meeting(&self) -> Result<Meeting, ClusterError> {
        self.check_endpoints().await?;
        for (option, file) in [
            ("--edge-ca", &self.edge_ca),
            ("--edge-cert", &self.edge_cert),
            ("--edge-key", &self.edge_key),
        ] {
            // Here it is said which one, and at once.
            let Some(file) = file else { continue };
            read(option, file)?;
            if file.to_str().is_none() {
                let error = io::Error::other("expected a path of plain text");
                return Err(ClusterError::File { option, file: file.clone(), error });
            }
        }
        let secret = self.edge_secret.as_deref().map(read_secret).transpose()?;
        Ok(Meeting {
            listen: self.serve_edges.clone(),
            connect: if self.is_edge() { self.edge.clone() } else { self.edges_via.clone() },
            party: self.party.clone(),
            secret,
            tls: Tls {
                ca: self.edge_ca.clone(),
                cert: self.edge_cert.clone(),
                key: self.edge_key.clone(),
            },
        })
    }

    /// Whether anything of this is asked for.
    pub(crate) fn is_used(&self) -> bool {
        self.is_edge() || !self.serve_edges.is_empty() || !self.edges_via.is_empty()
    }

    /// Options that clap cannot compare.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Conflict`] and [`ClusterError::NoWorkers`].
    pub(crate) fn check(&self, port: u16, ops_port: Option<u16>) -> Result<(), ClusterError> {
        if self.workers.is_some() && !cfg!(target_os = "linux") {
            return Err(ClusterError::NoWorkers);
        }
        let last = self.workers.unwrap_or(1) - 1;
        let ports = [(self.worker_ports, port), (ops_port.is_some(), ops_port.unwrap_or(0))];
        if ports.into_iter().any(|(is_used, first)| is_used && first.checked_add(last).is_none()) {
            let why = "there are not so many ports behind the first one";
            return Err(ClusterError::Conflict("--workers", "--port or --ops-port", why));
        }
        if self.worker_ports && port == 0 {
            let why = "a free port may have no free ones behind it";
            return Err(ClusterError::Conflict("--worker-ports", "--port 0", why));
        }
        let keys = [
            ("--edge-secret", self.edge_secret.is_some()),
            ("--edge-ca", self.edge_ca.is_some()),
            ("--edge-cert", self.edge_cert.is_some()),
            ("--insecure-edges", self.insecure_edges),
        ];
        if !self.is_used()
            && let Some((option, _)) = keys.into_iter().find(|&(_, is_given)| is_given)
        {
            let why = "there is nobody to meet: expected --serve-edges, --edges-via or --edge";
            return Err(ClusterError::Conflict(option, "a party in one process", why));
        }
        Ok(())
    }

    async fn check_endpoints(&self) -> Result<(), ClusterError> {
        let has_own = self.edge_cert.is_some();
        let listed = [
            ("--serve-edges", &self.serve_edges, self.edge_ca.is_some()),
            // An origin shows its certificate only where it asks for others'.
            ("--edges-via", &self.edges_via, has_own && self.edge_ca.is_some()),
            ("--edge", &self.edge, has_own),
        ];
        for (option, endpoints, has_certificates) in listed {
            let proves = self.edge_secret.is_some() || has_certificates;
            for endpoint in endpoints {
                if option == "--serve-edges" && endpoint.is_encrypted() && !has_own {
                    return Err(ClusterError::NoCertificate(endpoint.clone()));
                }
                if self.insecure_edges || (endpoint.is_encrypted() && proves) {
                    continue;
                }
                let (addresses, endpoint) = (addresses(endpoint).await, endpoint.clone());
                if endpoint.is_private(&addresses) {
                    continue;
                }
                if addresses.is_empty() {
                    return Err(ClusterError::Unknown { option, endpoint });
                }
                return Err(ClusterError::Insecure { option, endpoint });
            }
        }
        Ok(())
    }
}

/// What the endpoint's host stands for; nothing when that is not known.
async fn addresses(endpoint: &Endpoint) -> Vec<IpAddr> {
    let Some(host) = endpoint.host_and_port() else { return Vec::new() };
    lookup_host(host)
        .await
        .map_or_else(|_| Vec::new(), |found| found.map(|a: SocketAddr| a.ip()).collect())
}

fn read(option: &'static str, file: &Path) -> Result<String, ClusterError> {
    let error = |error| ClusterError::File { option, file: file.to_owned(), error };
    fs::read_to_string(file).map_err(error)
}

fn read_secret(file: &Path) -> Result<String, ClusterError> {
    let text = read("--edge-secret", file)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    // Zenoh's file of secrets has one in a line, behind a colon.
    let is_plain = secret.chars().all(|c| c.is_ascii_graphic() && c != ':');
    if is_plain && (SECRET_CHARS_MIN..=SECRET_CHARS_MAX).contains(&secret.len()) {
        return Ok(secret.to_owned());
    }
    Err(ClusterError::Secret(file.to_owned()))
}

/// Why an id is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected 1 to {PARTY_CHARS_MAX} letters, digits, `-` or `_`")]
struct PartyError;

fn party(value: &str) -> Result<String, PartyError> {
    let is_plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_plain && (1..=PARTY_CHARS_MAX).contains(&value.len()) {
        return Ok(value.to_owned());
    }
    Err(PartyError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use clap::Parser;
    use std::io::Write;
    use tempfile::NamedTempFile;

    fn cluster(options: &[&str]) -> Cluster {
        let line = ["server"].iter().chain(options);
        Config::try_parse_from(line).expect("valid options").cluster
    }

    async fn refusal(options: &[&str]) -> String {
        cluster(options).meeting().await.err().expect("refused").to_string()
    }

    #[tokio::test]
    async fn a_public_address_needs_encryption_and_proof() {
        let mut secret = NamedTempFile::new().expect("a file");
        writeln!(secret, "0123456789abcdef").expect("room");
        let secret = secret.path().to_str().expect("a path");
        for unsafe_one in [
            &["--source", "demo", "--serve-edges", "tcp/0.0.0.0:7447"][..],
            &["--edge", "tcp/8.8.8.8:7447"],
            &["--edge", "tcp/8.8.8.8:7447", "--edge-secret", secret],
            &["--edge", "tls/8.8.8.8:7447"],
            &["--source", "demo", "--edges-via", "quic/8.8.8.8:7447"],
        ] {
            let text = refusal(unsafe_one).await;
            assert!(text.contains("not known to be private"), "{text}");
            assert!(text.contains("--insecure-edges"), "{text}");
        }
        for safe in [
            &["--edge", "tls/8.8.8.8:7447", "--edge-secret", secret][..],
            &["--edge", "tcp/192.168.1.2:7447"],
            &["--edge", "tcp/8.8.8.8:7447", "--insecure-edges"],
            &["--source", "demo", "--serve-edges", "tcp/127.0.0.1:7447"],
        ] {
            cluster(safe).meeting().await.expect("safe");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_secret_is_told_without_telling_it() {
        let mut file = NamedTempFile::new().expect("a file");
        write!(file, "short").expect("room");
        let path = file.path().to_str().expect("a path");
        let text = refusal(&["--edge", "tcp/127.0.0.1:1", "--edge-secret", path]).await;
        assert!(text.contains("16 to 200") && !text.contains("short"), "{text}");
        let text = refusal(&["--edge", "tcp/127.0.0.1:1", "--edge-secret", "/none/of/this"]).await;
        assert!(text.starts_with("--edge-secret /none/of/this: "), "{text}");
    }

    #[tokio::test]
    async fn an_encrypted_origin_needs_a_certificate() {
        let text = refusal(&["--source", "demo", "--serve-edges", "tls/127.0.0.1:7447"]).await;
        assert!(text.contains("--edge-cert"), "{text}");
    }

    #[test]
    fn options_that_exclude_each_other_are_both_named() {
        let text = cluster(&["--source", "demo", "--workers", "2", "--worker-ports"])
            .check(0, None)
            .expect_err("refused")
            .to_string();
        assert!(text.contains("--worker-ports") && text.contains("--port 0"), "{text}");
        let text =
            cluster(&["--source", "demo", "--insecure-edges"]).check(1, None).expect_err("refused");
        assert!(text.to_string().contains("--insecure-edges"), "{text}");
        for (one, other) in [("--source", "demo"), ("--name", "x"), ("--serve-edges", "tcp/a:1")] {
            let line = ["server", "--edge", "tcp/127.0.0.1:1", one, other];
            let text = Config::try_parse_from(line).expect_err("refused").to_string();
            assert!(text.contains("--edge ") && text.contains(one), "{text}");
        }
    }
}
