//! `https` by the server itself: where its certificate comes from, and how a connection that begins is encrypted.

mod acme;
mod files;
mod greeting;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ResolvesServerCert;
use thiserror::Error;
use tokio::sync::watch;

pub(crate) use self::greeting::greet;

/// Largest file that is taken for a certificate or a key, in bytes. Chains have a few thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The one protocol that is spoken: with HTTP/2 a WebSocket would share its connection with all else that a page asks for.
const HTTP_1_1: &[u8] = b"http/1.1";

/// The options. Without any of them connections are not encrypted.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Encryption")]
pub struct TlsOptions {
    /// Serve https with the certificate in this file: PEM, with those that vouch for it below. Read again when it changes.
    ///
    /// Plain http requests to the same port are sent to https. --ops-port stays plain. With a certificate for a name, give
    /// guests that name: --public-url.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The key of that certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Serve https with a certificate for this name from Let's Encrypt, got and renewed by the server itself.
    ///
    /// The name must lead here from the internet, on port 443: give --port 443, or forward that port. Whoever uses this
    /// agrees to the terms of Let's Encrypt. Workers would each ask for a certificate of their own, so this cannot be used
    /// with --workers.
    #[arg(long, value_name = "HOST", value_parser = acme::host, conflicts_with_all = ["tls_cert", "tls_key"])]
    #[cfg_attr(feature = "cluster", arg(conflicts_with = "workers"))]
    pub acme: Option<String>,

    /// Whom Let's Encrypt may write to.
    #[arg(long, value_name = "ADDRESS", value_parser = acme::email, requires = "acme")]
    pub acme_email: Option<String>,

    /// Folder that keeps certificate and account, for this user alone [default: partyline/acme in the user's cache folder].
    #[arg(long, value_name = "FOLDER", requires = "acme")]
    pub acme_cache: Option<PathBuf>,

    /// Ask for certificates that browsers do not trust, to try things out: Let's Encrypt gives few of the others in a week.
    #[arg(long, requires = "acme", conflicts_with = "acme_directory")]
    pub acme_staging: bool,

    /// Ask this ACME server instead, such as one of your own.
    #[arg(long, value_name = "URL", value_parser = acme::directory, requires = "acme")]
    pub acme_directory: Option<String>,

    /// Certificate that the ACME server's own one is checked with, as PEM.
    #[arg(long, value_name = "FILE", requires = "acme_directory")]
    pub acme_ca: Option<PathBuf>,
}

/// Why there can be no encryption. Shows as one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
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
    /// A file holds something else.
    #[error("{option} {}: {what} in it; expected PEM, with `-----BEGIN {label}-----`", file.display())]
    Content {
        /// The option.
        option: &'static str,
        /// Its value.
        file: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// How the right thing begins.
        label: &'static str,
    },
    /// The key is another certificate's, or of a kind that is not known.
    #[error("--tls-key {} does not fit --tls-cert {}: {error}", key.display(), cert.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The library's word.
        error: rustls::Error,
    },
    /// There is no folder for what is kept.
    #[error("the user has no cache folder; expected --acme-cache FOLDER")]
    NoFolder,
    /// The folder cannot be made.
    #[error("--acme-cache {}: {error}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// The library refuses what it was made for.
    #[error("encryption cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

impl TlsOptions {
    /// Whether connections are to be encrypted.
    pub(crate) fn is_used(&self) -> bool {
        self.tls_cert.is_some() || self.acme.is_some()
    }

    /// Finds out what can be found out without starting anything.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub(crate) fn check(&self) -> Result<(), TlsError> {
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            files::load(cert, key)?;
        }
        Ok(())
    }

    /// Gets a certificate ready, and keeps it so until it is told to stop. `None` when none is asked for.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub(crate) fn open(
        &self,
        port: u16,
        stop: &watch::Receiver<bool>,
    ) -> Result<Option<Tls>, TlsError> {
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let files = Arc::new(files::Files::open(cert, key)?);
            tokio::spawn(files::watch(Arc::clone(&files), stop.clone()));
            return Ok(Some(Tls { config: config(files)?, challenge: None }));
        }
        if let Some(host) = &self.acme {
            return acme::open(self, host, port, stop).map(Some);
        }
        Ok(None)
    }
}

/// How connections are encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    /// What an ACME server is answered that looks whether the name leads here.
    challenge: Option<Arc<ServerConfig>>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(certificate: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}
