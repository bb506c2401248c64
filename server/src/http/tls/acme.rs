//! A certificate from an ACME server (RFC 8555), got and renewed while the server runs.
//!
//! The server is asked over TLS on the port that guests use whether the name leads here (TLS-ALPN-01, RFC 8737).

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::Uri;
use futures_util::StreamExt;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, AcmeState, EventOk};
use thiserror::Error;
use tokio::sync::watch;

use super::{Tls, TlsError, TlsOptions, config, files, provider};

/// The port on which an ACME server asks (RFC 8737, 3).
const ASKED_PORT: u16 = 443;

/// Longest name of a host, and longest of its parts (RFC 1035, 2.3.4).
const HOST_CHARS_MAX: usize = 253;
const LABEL_CHARS_MAX: usize = 63;

/// Longest address that is given to the ACME server (RFC 5321, 4.5.3.1.3).
const EMAIL_CHARS_MAX: usize = 254;

/// Gets a certificate, at once if there is one from before, and begins to watch over it.
///
/// # Errors
///
/// [`TlsError`]. That the ACME server cannot be reached is none: it is asked again.
pub(super) fn open(
    options: &TlsOptions,
    host: &str,
    port: u16,
    stop: &watch::Receiver<bool>,
) -> Result<Tls, TlsError> {
    let folder = folder(options.acme_cache.as_deref())?;
    if port != ASKED_PORT {
        tracing::warn!(
            "--acme: whoever gives certificates asks on port {ASKED_PORT}, and this is {port}: give --port {ASKED_PORT}, or forward that port here"
        );
    }
    let acme = match &options.acme_ca {
        Some(file) => AcmeConfig::new_with_client_config([host], trusting(file)?),
        None => AcmeConfig::new([host]),
    };
    let acme = acme
        .contact(options.acme_email.iter().map(|address| format!("mailto:{address}")))
        .cache(DirCache::new(folder));
    let acme = match &options.acme_directory {
        Some(directory) => acme.directory(directory),
        None => acme.directory_lets_encrypt(!options.acme_staging),
    };
    let state = acme.state();
    let challenge = Some(state.challenge_rustls_config());
    let tls = Tls { config: config(state.resolver())?, challenge };
    tokio::spawn(watch_over(state, host.to_owned(), stop.clone()));
    Ok(tls)
}

/// Gets and renews the certificate, and tells how that goes.
async fn watch_over(
    mut state: AcmeState<io::Error>,
    host: String,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let event = tokio::select! {
            event = state.next() => event,
            _ = stop.wait_for(|&stop| stop) => return,
        };
        match event {
            Some(Ok(EventOk::DeployedNewCert)) => {
                tracing::info!("there is a certificate for {host}");
            }
            Some(Ok(EventOk::DeployedCachedCert)) => {
                tracing::info!("there is a certificate for {host}, from before");
            }
            Some(Ok(event)) => tracing::debug!(?event, "ACME"),
            // It waits longer from time to time.
            Some(Err(error)) => {
                tracing::warn!("no certificate for {host} yet, asked again: {error}");
            }
            None => return,
        }
    }
}

/// How the ACME server itself is checked, with a certificate of one's own.
fn trusting(file: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates("--acme-ca", file)? {
        roots.add(certificate)?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The folder for what is kept, which is there then, and this user's alone if it is made here: there are keys in it.
fn folder(given: Option<&Path>) -> Result<PathBuf, TlsError> {
    let folder = match given {
        Some(given) => given.to_owned(),
        None => caches(|name| env::var_os(name).map(PathBuf::from))
            .ok_or(TlsError::NoFolder)?
            .join("partyline")
            .join("acme"),
    };
    let made = make(&folder).map_err(|error| TlsError::Folder { folder: folder.clone(), error });
    made.map(|()| folder)
}

/// Where this system keeps caches, by its `variables`.
fn caches(variables: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variables(name).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return absolute("LOCALAPPDATA");
    }
    let home = || absolute("HOME");
    if cfg!(target_os = "macos") {
        return Some(home()?.join("Library/Caches"));
    }
    absolute("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache")))
}

fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(
                "--acme-cache {}: others may look into this folder, and there will be keys in it: expected `chmod 700`",
                folder.display()
            );
        }
    }
    Ok(())
}

/// Why a value is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum ValueError {
    #[error(
        "expected a name that is known in the internet, as `party.example`, without port and path"
    )]
    Host,
    #[error("expected an address as `me@party.example`")]
    Email,
    #[error("expected an address as `https://acme.example/directory`")]
    Directory,
}

/// The name of a host, in small letters.
pub(super) fn host(value: &str) -> Result<String, ValueError> {
    let is_label = |label: &str| {
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels: Vec<&str> = value.split('.').collect();
    // The last part of a name is never a number, and that of an address always is.
    let is_name = labels.len() > 1
        && labels.iter().all(|label| is_label(label))
        && labels.last().is_some_and(|last| last.contains(|c: char| c.is_ascii_alphabetic()));
    if value.len() > HOST_CHARS_MAX || !is_name {
        return Err(ValueError::Host);
    }
    Ok(value.to_ascii_lowercase())
}

/// An address for letters, as far as it can be told from something else.
pub(super) fn email(value: &str) -> Result<String, ValueError> {
    let is_plain = value.len() <= EMAIL_CHARS_MAX
        && value.chars().all(|c| c.is_ascii_graphic() && !"<>(),:;\\\"[]?#&".contains(c));
    let parts = value
        .split_once('@')
        .filter(|(name, at)| is_plain && !name.is_empty() && at.contains('.') && !at.contains('@'));
    parts.map(|_| value.to_owned()).ok_or(ValueError::Email)
}

/// The address of an ACME server. Never without encryption (RFC 8555, 6.1).
pub(super) fn directory(value: &str) -> Result<String, ValueError> {
    let uri: Uri = value.parse().map_err(|_| ValueError::Directory)?;
    let is_secure =
        uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty());
    if is_secure { Ok(value.to_owned()) } else { Err(ValueError::Directory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_checked() {
        assert_eq!(host("Party.Example").as_deref(), Ok("party.example"));
        assert_eq!(host("xn--strae-oqa.example").as_deref(), Ok("xn--strae-oqa.example"));
        let long = format!("{}.example", "a".repeat(64));
        for wrong in [
            "",
            "party",
            "party.example:443",
            "https://party.example",
            "a..b",
            "-a.b",
            "192.0.2.1",
            "*.party.example",
            "straße.example",
            &long,
        ] {
            assert_eq!(host(wrong), Err(ValueError::Host), "{wrong}");
        }
        assert!(email("me@party.example").is_ok());
        for wrong in [
            "",
            "me",
            "@party.example",
            "me@party",
            "a@b@c.d",
            "me@party.example?cc=you",
            "a b@c.d",
        ] {
            assert_eq!(email(wrong), Err(ValueError::Email), "{wrong}");
        }
        assert!(directory("https://acme.example:14000/dir").is_ok());
        for wrong in ["", "acme.example", "http://acme.example/dir", "https://", "https:///dir"] {
            assert_eq!(directory(wrong), Err(ValueError::Directory), "{wrong}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn caches_are_where_the_system_has_them() {
        let with = |pairs: &'static [(&str, &str)]| {
            caches(move |name| {
                let found = pairs.iter().find(|(key, _)| *key == name)?;
                Some(PathBuf::from(found.1))
            })
        };
        assert_eq!(with(&[("HOME", "/home/me")]), Some("/home/me/.cache".into()));
        let both: &[_] = &[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/caches")];
        assert_eq!(with(both), Some("/caches".into()));
        assert_eq!(
            with(&[("HOME", "/home/me"), ("XDG_CACHE_HOME", "caches")]),
            Some("/home/me/.cache".into())
        );
        assert_eq!(with(&[]), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_is_this_users_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let made = folder(Some(&place.path().join("a/b"))).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(place.path().join("file"), "").unwrap();
        let error = folder(Some(&place.path().join("file"))).unwrap_err().to_string();
        assert!(error.starts_with("--acme-cache ") && error.lines().count() == 1, "{error}");
    }
}
