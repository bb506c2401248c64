//! Pictures: one message each, `[8 + channel][time][image]`; without an image, the channel is cleared.
//!
//! Source: wire reference 3.3, for clients that have `artwork@v1_support` in their hello.

use std::ops::RangeInclusive;

use crate::time::ServerTime;

/// Message ids of the four channels (wire reference 3.1).
pub const ARTWORK: RangeInclusive<u8> = 8..=11;

/// A picture that is to be shown at a stated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Artwork<'a> {
    /// On which channel, 0 to 3.
    pub channel: u8,
    /// From when on.
    pub show_at: ServerTime,
    /// The whole encoded picture; empty clears the channel.
    pub image: &'a [u8],
}

impl Artwork<'_> {
    /// The whole message. Channels beyond the last are the last.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let id = ARTWORK.start().saturating_add(self.channel).min(*ARTWORK.end());
        let mut message = super::begin(id, self.show_at, self.image.len());
        message.extend_from_slice(self.image);
        message
    }
}
