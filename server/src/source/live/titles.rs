//! What a stream says is playing, on the way from who reads its bytes to who decodes them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::source::track::{Track, clean};

/// The newest title that was not taken yet. An older one is overwritten: nobody heard it.
#[derive(Clone, Debug, Default)]
pub(super) struct Titles(Arc<Mutex<Option<String>>>);

impl Titles {
    /// A title came.
    pub(super) fn set(&self, title: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(title);
    }

    /// The title, if one came since the last call.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The track that a radio's title names: "artist - title" by custom. `station` is called so when it names none.
pub(super) fn track_of(title: &str, station: &str) -> Track {
    let (artist, title) = match title.split_once(" - ") {
        Some((artist, title)) => (clean(artist), clean(title)),
        None => (None, clean(title)),
    };
    match (artist, title) {
        (Some(artist), Some(title)) => Track { title, artist: Some(artist), ..Track::default() },
        (Some(only), None) | (None, Some(only)) => Track { title: only, ..Track::default() },
        (None, None) => station_of(station),
    }
}

/// A stream that says no more than its name.
pub(super) fn station_of(name: &str) -> Track {
    Track { title: clean(name).unwrap_or_else(|| "Live".to_owned()), ..Track::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_split_at_its_first_dash() {
        for (text, artist, title) in [
            ("Nina Simone - Feeling Good - Live", Some("Nina Simone"), "Feeling Good - Live"),
            ("The News", None, "The News"),
            (" - Nameless", None, "Nameless"),
            ("", None, "Radio X"),
            ("line\nbreak", None, "line break"),
        ] {
            let track = track_of(text, "Radio X");
            assert_eq!((track.artist.as_deref(), track.title.as_str()), (artist, title), "{text}");
        }
        assert_eq!(track_of(&"x".repeat(9_000), "").title.len(), 300);
        assert_eq!(station_of(" ").title, "Live");
    }
}
