//! How a picture is called.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names a picture by what it shows: the first half of the SHA-256 of its bytes. The same picture has the same name
/// everywhere, and another one never has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PictureId([u8; 16]);

impl PictureId {
    /// The name with these bytes.
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for PictureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for PictureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no [`PictureId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a picture, expected 32 hexadecimal digits in lower case")]
pub struct NoPictureId;

/// The way [`PictureId`] is displayed, and no other: a picture has one address.
impl FromStr for PictureId {
    type Err = NoPictureId;

    fn from_str(text: &str) -> Result<Self, NoPictureId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(NoPictureId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NoPictureId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl Serialize for PictureId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PictureId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_way_to_write_it() {
        let id = PictureId::new([0xab; 16]);
        let text = "ab".repeat(16);
        assert_eq!((id.to_string(), text.parse()), (text.clone(), Ok(id)));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<PictureId>(&json).unwrap(), id);
        for other in
            [&text[1..], &text.to_uppercase(), &format!("+{}", &text[1..]), "", "../../etc/passwd"]
        {
            assert_eq!(other.parse::<PictureId>(), Err(NoPictureId), "{other}");
        }
    }
}
