//! The chunks of an edge: in which formats it follows its origin, for how long, and what of them it publishes.
//!
//! Pure.

use protocol::time::{ClientSpan, ClientTime, ServerTime};

use super::reassembly::{Raw, Reassembly};
use super::wire::{self, Fetch, WireError};
use crate::fanout::hub::Hub;
use crate::pipeline::encoder::WireFormat;

/// A format that nobody wants any more is followed for so long: who changes back has it at once.
const LINGER: ClientSpan = ClientSpan::from_secs(10);

/// Whether a format is wanted, by its discriminant.
pub(crate) type Formats = [bool; WireFormat::ALL.len()];

/// One lane for each format.
#[derive(Debug, Default)]
pub(super) struct Lanes([Lane; WireFormat::ALL.len()]);

#[derive(Debug, Default)]
struct Lane {
    reassembly: Reassembly,
    is_followed: bool,
    /// Since when nobody wants it.
    unwanted_since: Option<ClientTime>,
}

impl Lanes {
    /// These are wanted from `now` on. Returns those to follow that were not followed.
    pub(super) fn want(&mut self, now: ClientTime, formats: Formats) -> Vec<WireFormat> {
        let wanted = self.iter_mut().zip(formats);
        let followed = wanted.filter_map(|((format, lane), is_wanted)| {
            if !is_wanted {
                lane.unwanted_since.get_or_insert(now);
                return None;
            }
            lane.unwanted_since = None;
            if lane.is_followed {
                return None;
            }
            *lane = Lane { is_followed: true, ..Lane::default() };
            Some(format)
        });
        followed.collect()
    }

    /// Returns those that nobody has wanted for long enough at `now`: they are followed no more.
    pub(super) fn linger(&mut self, now: ClientTime) -> Vec<WireFormat> {
        let left = self.iter_mut().filter_map(|(format, lane)| {
            let is_over = lane.unwanted_since.is_some_and(|since| now >= since + LINGER);
            (lane.is_followed && is_over).then(|| {
                *lane = Lane::default();
                format
            })
        });
        left.collect()
    }

    /// There is another connection. Returns those that are followed over it as well.
    pub(super) fn disconnect(&mut self) -> Vec<WireFormat> {
        let followed = self.iter_mut().filter_map(|(format, lane)| {
            lane.reassembly.disconnect();
            lane.is_followed.then_some(format)
        });
        followed.collect()
    }

    /// Another party, or another clock: whatever is here means nothing any more.
    pub(super) fn begin_anew(&mut self) {
        self.iter_mut().for_each(|(_, lane)| lane.reassembly = Reassembly::default());
    }

    /// A chunk has come.
    pub(super) fn push(&mut self, raw: Raw) {
        self.0[raw.format as usize].reassembly.push(raw);
    }

    /// All chunks of an answer to `fetch` have come, of an origin that has made those below `head`.
    pub(super) fn answered(&mut self, format: WireFormat, fetch: &Fetch, head: u64) {
        self.0[format as usize].reassembly.answered(fetch, head);
    }

    /// Publishes the chunks that are next at the party's time `now`.
    ///
    /// # Errors
    ///
    /// The last chunk's that is none. All others are published.
    pub(super) fn publish(&mut self, now: ServerTime, hub: &Hub) -> Result<(), WireError> {
        let mut result = Ok(());
        for (format, lane) in self.iter_mut() {
            while let Some(raw) = lane.reassembly.pop(now) {
                // Its cut may overtake the state that tells of it; what was made before is void.
                if !hub.follow_cuts(raw.header.cuts, now) {
                    continue;
                }
                match wire::chunk(format, &raw.header, &raw.message) {
                    Ok(chunk) => hub.publish_made(format, chunk, now),
                    Err(error) => result = Err(error),
                }
            }
            let lost = lane.reassembly.take_lost();
            if lost > 0 {
                tracing::debug!(lost, ?format, "chunks did not come");
            }
        }
        result
    }

    /// What is missing and may be asked for: at `now`, which is the party's time `party_now`, of an origin that has made
    /// the chunks below `head`.
    pub(super) fn fetches(
        &mut self,
        now: ClientTime,
        party_now: ServerTime,
        head: u64,
    ) -> Vec<(WireFormat, Fetch)> {
        let followed = self.iter_mut().filter(|(_, lane)| lane.is_followed);
        let fetches = followed.filter_map(|(format, lane)| {
            Some((format, lane.reassembly.fetch(now, party_now, head)?))
        });
        fetches.collect()
    }

    /// When there is something to do at the latest.
    pub(super) fn deadline(&self) -> Option<ClientTime> {
        let followed = self.0.iter().filter(|lane| lane.is_followed);
        let linger = followed.clone().filter_map(|lane| Some(lane.unwanted_since? + LINGER));
        linger.chain(followed.filter_map(|lane| lane.reassembly.deadline())).min()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = (WireFormat, &mut Lane)> {
        WireFormat::ALL.into_iter().zip(&mut self.0)
    }
}
