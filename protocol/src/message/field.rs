//! A field of a delta: absent, null or a value; and lists that outlive words this end does not know.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A field of a state delta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Not there: the state stays as it was.
    #[default]
    Absent,
    /// `null`: the state is cleared.
    Null,
    /// The state's new value.
    Value(T),
}

impl<T> Field<T> {
    /// Whether the field is left out of the message.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, if there is one.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// Brings `state` up to date with this delta.
    pub fn apply_to(self, state: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Null => *state = None,
            Self::Value(value) => *state = Some(value),
        }
    }
}

/// A full state is sent as value or `null`, never left out.
impl<T> From<Option<T>> for Field<T> {
    fn from(state: Option<T>) -> Self {
        state.map_or(Self::Null, Self::Value)
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::from)
    }
}

/// Most entries of a list that are looked at; the rest are ignored. No client has this many formats or
/// commands, and a hostile one must not cost more than this.
pub(super) const LIST_MAX: usize = 64;

/// Reads a list and leaves out what this end does not understand, so that a newer peer's codecs and
/// commands do not spoil the entries that both know.
pub(super) fn known_entries<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let entries = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(entries
        .into_iter()
        .take(LIST_MAX)
        .filter_map(|entry| serde_json::from_value(entry).ok())
        .collect())
}

/// As [`known_entries`], for a list that may be missing.
pub(super) fn known_entries_opt<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let entries = Option::<Vec<serde_json::Value>>::deserialize(deserializer)?;
    Ok(entries.map(|entries| {
        entries
            .into_iter()
            .take(LIST_MAX)
            .filter_map(|entry| serde_json::from_value(entry).ok())
            .collect()
    }))
}

/// Reads an object that may be missing, and takes one that this end does not understand for missing: generations differ in
/// these, and a role that nobody needs must not cost the connection.
pub(super) fn known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}
