//! Where origin and edges meet, in Zenoh's words.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use zenoh::Session;

use super::UplinkError;
use crate::uplink::endpoint::Endpoint;

/// What edges are called when they prove that they know the secret.
const USER: &str = "edge";

/// A peer that is silent for so long is gone. The reports notice an origin sooner.
const LEASE_MS: u64 = 3_000;

/// How long a handshake may take: a few round trips around the world.
const HANDSHAKE_MS: u64 = 2_000;

/// How long what may not be dropped may wait for a peer that takes nothing, in microseconds; then the peer is disconnected.
/// Meanwhile others wait as well.
const STUCK_US: u64 = 500_000;

/// Longest message that is put together from pieces, in bytes.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// Most edges at a time.
const PEERS_MAX: u64 = 10_000;

/// Keys and certificates, as PEM files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// Signs the other side's certificate.
    pub(crate) ca: Option<PathBuf>,
    /// This side's own certificate.
    pub(crate) cert: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
}

/// Where to meet, and how to know each other. Not to be shown: it has the secret.
#[derive(Clone, Default)]
pub(crate) struct Meeting {
    /// Addresses to wait at. Only an origin has some.
    pub(crate) listen: Vec<Endpoint>,
    /// Addresses to go to: an edge's origin, or routers. One of them is enough for an edge.
    pub(crate) connect: Vec<Endpoint>,
    /// Tells parties behind one router apart.
    pub(crate) party: String,
    /// What both sides know and nobody else.
    pub(crate) secret: Option<String>,
    /// For addresses that are encrypted.
    pub(crate) tls: Tls,
}

impl Meeting {
    /// Opens an origin's session.
    ///
    /// # Errors
    ///
    /// [`UplinkError`].
    pub(super) async fn open_origin(&self) -> Result<Session, UplinkError> {
        // Zenoh reads what it compares with from a file, once. It is gone when the session is open.
        let dictionary = match &self.secret {
            Some(secret) => {
                let mut file = NamedTempFile::new()?;
                writeln!(file, "{USER}:{secret}")?;
                file.flush()?;
                Some(file)
            }
            None => None,
        };
        let mut config = self.common("peer");
        config["listen"] = json!({ "endpoints": texts(&self.listen) });
        config["connect"] = json!({ "endpoints": texts(&self.connect), "timeout_ms": -1, "exit_on_failure": false });
        if let Some(file) = &dictionary {
            config["transport"]["auth"]["usrpwd"]["dictionary_file"] =
                json!(file.path().to_string_lossy());
        }
        let tls = &mut config["transport"]["link"]["tls"];
        tls["enable_mtls"] = json!(self.tls.ca.is_some());
        tls["listen_certificate"] = json!(self.tls.cert);
        tls["listen_private_key"] = json!(self.tls.key);
        open(&config).await
    }

    /// Opens an edge's session.
    ///
    /// # Errors
    ///
    /// [`UplinkError`], when there is nobody to follow.
    pub(super) async fn open_edge(&self) -> Result<Session, UplinkError> {
        let mut config = self.common("client");
        config["connect"] = json!({ "endpoints": texts(&self.connect), "timeout_ms": 0 });
        open(&config).await
    }

    /// The key that ends in `path`.
    pub(super) fn key(&self, path: &str) -> String {
        format!("partyline/{}/{path}", self.party)
    }

    fn common(&self, mode: &str) -> Value {
        let usrpwd = match &self.secret {
            Some(secret) => json!({ "user": USER, "password": secret }),
            None => json!({}),
        };
        json!({
            "mode": mode,
            "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
            "transport": {
                "unicast": {
                    "open_timeout": HANDSHAKE_MS,
                    "accept_timeout": HANDSHAKE_MS,
                    "max_sessions": PEERS_MAX,
                },
                "auth": { "usrpwd": usrpwd },
                "link": {
                    "tx": {
                        "lease": LEASE_MS,
                        "queue": { "congestion_control": { "block": { "wait_before_close": STUCK_US } } },
                    },
                    "rx": { "max_message_size": MESSAGE_BYTES_MAX },
                    "tls": {
                        "root_ca_certificate": self.tls.ca,
                        // An edge that has a certificate shows it when it is asked for.
                        "enable_mtls": self.tls.cert.is_some(),
                        "connect_certificate": self.tls.cert,
                        "connect_private_key": self.tls.key,
                    },
                },
            },
        })
    }
}

fn texts(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(Endpoint::to_string).collect()
}

async fn open(config: &Value) -> Result<Session, UplinkError> {
    let config = zenoh::Config::from_json5(&config.to_string()).map_err(UplinkError::zenoh)?;
    zenoh::open(config).await.map_err(UplinkError::zenoh)
}
