//! A certificate and its key in files, which whoever renews them writes anew while the server runs.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{FILE_BYTES_MAX, TlsError, provider};

/// Time between two looks at the files. A certificate is renewed weeks before its end.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// When and how large a file was. None when there is none.
type Mark = Option<(SystemTime, u64)>;

/// The two files, and what was in them.
#[derive(Debug)]
pub(super) struct Files {
    cert: PathBuf,
    key: PathBuf,
    /// As they were when they were read.
    marks: Mutex<[Mark; 2]>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Files {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub(super) fn open(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        // Before they are read: what is written meanwhile is seen by the next look.
        let marks = [mark(cert), mark(key)];
        let current = Arc::new(load(cert, key)?);
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            marks: Mutex::new(marks),
            current: RwLock::new(current),
        })
    }

    /// Reads them again if they are others now. Returns whether there is another certificate.
    ///
    /// # Errors
    ///
    /// [`TlsError`], once for each change; the certificate stays.
    pub(super) fn renew(&self) -> Result<bool, TlsError> {
        let marks = [mark(&self.cert), mark(&self.key)];
        {
            let mut known = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == marks {
                return Ok(false);
            }
            *known = marks;
        }
        let renewed = Arc::new(load(&self.cert, &self.key)?);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = current.cert != renewed.cert;
        *current = renewed;
        Ok(is_new)
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Looks at the files now and then, until it is told to stop.
pub(super) async fn watch(files: Arc<Files>, mut stop: watch::Receiver<bool>) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = stop.wait_for(|&stop| stop) => return,
        }
        let at = Arc::clone(&files);
        match tokio::task::spawn_blocking(move || at.renew()).await {
            Ok(Ok(true)) => tracing::info!("the certificate was renewed"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!("the certificate in use stays: {error}"),
            // The runtime ends.
            Err(_) => return,
        }
    }
}

fn mark(file: &Path) -> Mark {
    let about = fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// Reads a certificate with its chain and its key, and sees that they belong together.
///
/// # Errors
///
/// [`TlsError`].
pub(super) fn load(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("--tls-cert", cert)?;
    let text = read("--tls-key", key)?;
    let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let what = match error {
            pem::Error::NoItemsFound => "there is no key",
            _ => "there is a broken key",
        };
        TlsError::Content { option: "--tls-key", file: key.to_owned(), what, label: "PRIVATE KEY" }
    })?;
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| TlsError::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        error,
    })
}

/// The certificates of a file, at least one.
///
/// # Errors
///
/// [`TlsError::File`] and [`TlsError::Content`].
pub(super) fn certificates(
    option: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong =
        |what| TlsError::Content { option, file: file.to_owned(), what, label: "CERTIFICATE" };
    let text = read(option, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|_| wrong("there is a broken certificate"))?;
    if found.is_empty() {
        return Err(wrong("there is no certificate"));
    }
    Ok(found)
}

/// A file's bytes, as many as such a file may have. The rest of a longer one is left out: no PEM is so long.
fn read(option: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| TlsError::File { option, file: file.to_owned(), error })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn paths(&self) -> [PathBuf; 2] {
            ["cert.pem", "key.pem"].map(|name| self.0.path().join(name))
        }

        /// A certificate and its key, in PEM.
        fn make() -> [String; 2] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["party.test".to_owned()]).unwrap();
            [params.self_signed(&key).unwrap().pem(), key.serialize_pem()]
        }

        fn write(&self, contents: &[String; 2]) {
            for (path, content) in self.paths().iter().zip(contents) {
                fs::write(path, content).unwrap();
            }
        }

        fn load(&self) -> Result<CertifiedKey, TlsError> {
            let [cert, key] = self.paths();
            load(&cert, &key)
        }

        fn open(&self) -> Files {
            let [cert, key] = self.paths();
            Files::open(&cert, &key).unwrap()
        }
    }

    fn shown(files: &Files) -> Vec<CertificateDer<'static>> {
        files.current.read().unwrap().cert.clone()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_option() {
        let folder = Folder::new();
        let [cert, key] = Folder::make();
        let [_, other_key] = Folder::make();
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n".to_owned();
        let nonsense = broken.replace("!!!", "AAAA");
        let error = |contents: [&String; 2]| {
            folder.write(&contents.map(String::clone));
            let text = folder.load().unwrap_err().to_string();
            assert_eq!(text.lines().count(), 1, "{text}");
            text
        };
        assert!(folder.load().unwrap_err().to_string().starts_with("--tls-cert "));
        for (contents, words) in [
            ([&key, &key], ["--tls-cert", "there is no certificate"]),
            ([&broken, &key], ["--tls-cert", "there is a broken certificate"]),
            ([&cert, &cert], ["--tls-key", "there is no key"]),
            ([&cert, &other_key], ["--tls-key", "does not fit --tls-cert"]),
            ([&nonsense, &key], ["--tls-key", "does not fit --tls-cert"]),
        ] {
            let text = error(contents);
            assert!(words.iter().all(|words| text.contains(words)), "{text}");
        }
        folder.write(&[cert, key]);
        folder.load().unwrap();
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = Folder::new();
        folder.write(&Folder::make());
        let files = folder.open();
        let first = shown(&files);
        assert!(!files.renew().unwrap());
        // Half of a renewal: the key is still the old one's.
        let [cert, key] = Folder::make();
        let [cert_path, key_path] = folder.paths();
        fs::write(&cert_path, &cert).unwrap();
        assert!(files.renew().unwrap_err().to_string().contains("does not fit"));
        assert!(!files.renew().unwrap(), "said once for each change");
        assert_eq!(shown(&files), first);
        fs::write(&key_path, &key).unwrap();
        assert!(files.renew().unwrap());
        assert_ne!(shown(&files), first);
        // Gone for a moment, and there again as it was.
        fs::remove_file(&key_path).unwrap();
        assert!(files.renew().is_err());
        fs::write(&key_path, &key).unwrap();
        assert!(!files.renew().unwrap());
    }
}
