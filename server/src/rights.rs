//! Who may do what: the host has a key, guests may what the host lets them.

use std::fmt;
use std::str::FromStr;

use protocol::message::Rights;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Shortest key that a person may choose, in characters: too long to be guessed over the network.
const KEY_CHARS_MIN: usize = 12;

/// Longest key that is looked at, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// Random bytes of a key that is made: 128 bits.
const KEY_BYTES: usize = 16;

/// The host's secret. Shown to the host once; whoever runs the server sees it in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey(String);

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey(…)")
    }
}

/// Why a key is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeyError {
    /// It could be guessed.
    #[error("{chars} characters; expected at least {KEY_CHARS_MIN}")]
    TooShort {
        /// How long it is.
        chars: usize,
    },
    /// It could not stand in a link.
    #[error("expected letters, digits, `-` and `_` only, as it stands in a link")]
    Characters,
    /// It is longer than anybody needs.
    #[error("expected at most {KEY_BYTES_MAX} characters")]
    TooLong,
}

impl FromStr for HostKey {
    type Err = HostKeyError;

    fn from_str(key: &str) -> Result<Self, HostKeyError> {
        if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(HostKeyError::Characters);
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(HostKeyError::TooLong);
        }
        if key.len() < KEY_CHARS_MIN {
            return Err(HostKeyError::TooShort { chars: key.len() });
        }
        Ok(Self(key.to_owned()))
    }
}

impl HostKey {
    /// A key that nobody can guess.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        use base64::Engine as _;
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The link that makes whoever opens it the host. The key stands behind `#`, which browsers send to nobody: it is in
    /// no request, no referrer and no proxy's log.
    #[must_use]
    pub fn link(&self, page: &str) -> String {
        format!("{}/#host={}", page.trim_end_matches('/'), self.0)
    }
}

/// What a party allows. An origin tells its edges as much: the key itself it keeps.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// What everybody may.
    pub(crate) guests: Rights,
    /// SHA-256 of the host's key; without one, nobody is the host.
    key: Option<[u8; 32]>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("guests", &self.guests).finish_non_exhaustive()
    }
}

impl Rules {
    /// Guests may `guests`, who has `key` may everything.
    pub(crate) fn new(guests: Rights, key: Option<&HostKey>) -> Self {
        Self { guests, key: key.map(|key| digest(&key.0)) }
    }

    /// Whether `key` is the host's. Takes as long for any wrong one: digests are compared, all of their bytes.
    pub(crate) fn is_host(&self, key: &str) -> bool {
        let Some(expected) = self.key.filter(|_| key.len() <= KEY_BYTES_MAX) else { return false };
        let differing = digest(key).iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_opens() {
        let key = HostKey::random().unwrap();
        let rules = Rules::new(Rights::Volume, Some(&key));
        assert!(rules.is_host(&key.0));
        for wrong in ["", "x", &key.0[1..], &format!("{}x", key.0), &"x".repeat(100_000)] {
            assert!(!rules.is_host(wrong), "{wrong}");
        }
        assert!(!Rules::default().is_host(""));
        assert_ne!(key, HostKey::random().unwrap());
        let shown = format!("{key:?} {rules:?}");
        assert!(!shown.contains(&key.0) && !shown.contains("key:"), "{shown}");
    }

    #[test]
    fn a_key_that_can_be_guessed_or_does_not_fit_a_link_is_refused() {
        assert_eq!("short".parse::<HostKey>(), Err(HostKeyError::TooShort { chars: 5 }));
        assert_eq!("with a space in it".parse::<HostKey>(), Err(HostKeyError::Characters));
        assert_eq!("x".repeat(257).parse::<HostKey>(), Err(HostKeyError::TooLong));
        let key: HostKey = "long-enough_1".parse().unwrap();
        for page in ["http://h:1", "http://h:1/"] {
            assert_eq!(key.link(page), "http://h:1/#host=long-enough_1");
        }
    }
}
