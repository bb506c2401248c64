//! Figures of the sound on their way from the origin to edges: several moments to a sheet.
//!
//! Pure. A sheet that gets lost is missed and nothing else: none is asked for again, and the next one begins where it begins.

use std::sync::Arc;

use bytes::Bytes;
use protocol::time::{ServerSpan, ServerTime};

use crate::fanout::hub::Hub;
use crate::fanout::stage::Stage;
use crate::pipeline::REACH_MAX;
use crate::visual::analyser::Finding;
use crate::visual::reel::{Drawn, Moment};
use crate::visual::spectrum::{SPECTRUM_BYTES, Spectrum};

/// How long before it is heard a moment is sent. An edge whose first listener comes for figures has none for so long, if
/// others get them already; and for so long it does without the network.
const AHEAD: ServerSpan = ServerSpan::from_secs(2);

/// Most moments of a sheet, so that what is urgent does not wait long behind one: the levels of two chunks.
const MOMENTS_MAX: usize = 10;

/// Most sheets in each [`PACE`]: they fit into one of Zenoh's batches, which has 64 KiB. The two seconds that an origin has
/// at once are several, and of a burst what finds no room on its link is lost.
const SHEETS_MAX: usize = 2;

/// See [`SHEETS_MAX`]. Sheets are asked for with each chunk, ten times a second: up to 200 moments, when some 60 are heard.
const PACE: ServerSpan = ServerSpan::from_millis(50);

/// Longest sheet, in bytes.
pub(crate) const SHEET_BYTES_MAX: usize = MOMENTS_MAX * (MOMENT_BYTES + SPECTRUM_BYTES);

/// Bytes of what every moment has: when it is heard, and what kind of figure it is.
const MOMENT_BYTES: usize = 9;

/// The kinds.
const SPECTRUM: u8 = 0;
const PEAK: u8 = 1;
const BEAT: u8 = 2;

/// Which sheet it is, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SheetHeader {
    /// Which origin made it.
    pub(crate) instance: u64,
    /// How often before it what was ahead became void.
    pub(crate) cuts: u64,
    /// Which take of the sound it describes: another one makes void what is there of those before.
    pub(crate) take: u64,
}

/// Bytes of a [`SheetHeader`].
const HEADER_BYTES: usize = 24;

impl SheetHeader {
    /// As it is sent: big-endian, in the order of the fields.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.instance.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cuts.to_be_bytes());
        bytes[16..].copy_from_slice(&self.take.to_be_bytes());
        bytes
    }

    /// Reads what [`SheetHeader::encode`] made. `None` for anything of another length.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (instance, rest) = bytes.split_first_chunk()?;
        let (cuts, rest) = rest.split_first_chunk()?;
        Some(Self {
            instance: u64::from_be_bytes(*instance),
            cuts: u64::from_be_bytes(*cuts),
            take: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// A sheet as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sheet {
    /// Which one.
    pub(crate) header: SheetHeader,
    /// What [`encode`] made.
    pub(crate) moments: Bytes,
}

/// Moments as they are sent.
pub(crate) fn encode(moments: &[Arc<Moment>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(moments.len() * (MOMENT_BYTES + SPECTRUM_BYTES));
    for moment in moments {
        bytes.extend(moment.at.as_micros().to_be_bytes());
        match &moment.figure {
            Drawn::Levels(levels) => {
                bytes.push(SPECTRUM);
                bytes.extend(levels.spectrum().encode());
            }
            Drawn::Peak(strength) => bytes.extend([PEAK, *strength]),
            Drawn::Beat => bytes.push(BEAT),
        }
    }
    bytes
}

/// Reads what [`encode`] made. `None` for anything else, and for more than a sheet has.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<Moment>> {
    let mut moments = Vec::new();
    while !bytes.is_empty() {
        let (at, rest) = bytes.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let (finding, rest) = match *kind {
            SPECTRUM => {
                let (spectrum, rest) = rest.split_at_checked(SPECTRUM_BYTES)?;
                (Finding::Spectrum(Spectrum::decode(spectrum)?), rest)
            }
            PEAK => {
                let (strength, rest) = rest.split_first()?;
                (Finding::Peak(*strength), rest)
            }
            BEAT => (Finding::Beat, rest),
            _ => return None,
        };
        if moments.len() >= MOMENTS_MAX {
            return None;
        }
        moments.push(Moment::new(ServerTime::from_micros(i64::from_be_bytes(*at)), finding));
        bytes = rest;
    }
    Some(moments)
}

/// Where an origin is in its reel.
#[derive(Debug, Default)]
pub(crate) struct Projector {
    place: u64,
    /// When a [`PACE`] began, and the sheets since.
    pace: Option<(ServerTime, usize)>,
}

impl Projector {
    /// Nobody at an edge looks: who comes begins with what is heard then.
    pub(crate) fn rest(&mut self) {
        self.place = 0;
    }

    /// The moments of the next sheet at `now`, none if there are none to be sent yet.
    pub(crate) fn next(&mut self, now: ServerTime, stage: &Stage) -> Vec<Arc<Moment>> {
        let (since, sheets) =
            self.pace.filter(|&(since, _)| now - since < PACE).unwrap_or((now, 0));
        if sheets >= SHEETS_MAX {
            return Vec::new();
        }
        self.place = self.place.max(stage.reel.first_after(now));
        let due = (self.place..)
            .map_while(|place| stage.reel.get(place))
            .take_while(|moment| moment.at <= now + AHEAD);
        let moments: Vec<_> = due.take(MOMENTS_MAX).cloned().collect();
        self.place += moments.len() as u64;
        self.pace = Some((since, sheets + usize::from(!moments.is_empty())));
        moments
    }
}

/// Which take an edge has of its origin's figures.
#[derive(Debug, Default)]
pub(crate) struct Screening {
    /// The origin's instance, and its take.
    shown: Option<(u64, u64)>,
}

impl Screening {
    /// Shows a sheet that came at `now`, unless it is void. Returns whether it was one, and not too far ahead.
    pub(crate) fn show(&mut self, now: ServerTime, sheet: &Sheet, hub: &Hub) -> bool {
        let moments = decode(&sheet.moments).unwrap_or_default();
        let last = moments.iter().map(|moment| moment.at).max();
        if last.is_none_or(|last| last > now + REACH_MAX) {
            return false;
        }
        if hub.follow_cuts(sheet.header.cuts, now) {
            let is_other = self.begin(&sheet.header);
            hub.project(|reel| {
                if is_other {
                    reel.cut();
                }
                reel.append(moments);
            });
        }
        true
    }

    /// Notes what came. Returns whether what is there of those before is void.
    fn begin(&mut self, header: &SheetHeader) -> bool {
        let present = Some((header.instance, header.take));
        std::mem::replace(&mut self.shown, present) != present
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::at;
    use crate::group::Group;
    use crate::session::Identity;
    use crate::source::CHANNELS;
    use crate::visual::spectrum::{Prism, WINDOW};
    use proptest::prelude::*;

    /// Levels of noise every 20 ms, and a beat and something that sets in with each tenth.
    fn stage(from: i64, to: i64) -> Stage {
        let group = Group::new("g".to_owned(), "n".to_owned());
        let mut stage = Stage::new(Arc::new(Identity::default()), group);
        let noise = |sample: usize| ((sample * 7_919) % 1_000) as f32 / 1_000.0 - 0.5;
        let samples: Vec<f32> = (0..WINDOW * CHANNELS).map(noise).collect();
        let spectrum = Prism::new().split(&samples);
        for millis in (from..to).step_by(20) {
            stage.reel.push(Moment::new(at(millis), Finding::Spectrum(spectrum.clone())));
            if millis % 200 == 0 {
                stage.reel.push(Moment::new(at(millis), Finding::Peak(77)));
                stage.reel.push(Moment::new(at(millis), Finding::Beat));
            }
        }
        stage
    }

    fn described(moment: &Moment) -> (ServerTime, String) {
        let figure = match &moment.figure {
            Drawn::Levels(levels) => format!("{:?}", levels.spectrum()),
            Drawn::Peak(strength) => strength.to_string(),
            Drawn::Beat => "beat".to_owned(),
        };
        (moment.at, figure)
    }

    #[test]
    fn a_sheet_arrives_as_it_left() {
        let stage = stage(200, 600);
        let sent = Projector::default().next(at(0), &stage);
        assert_eq!(sent.len(), MOMENTS_MAX);
        let bytes = encode(&sent);
        assert!(bytes.len() <= SHEET_BYTES_MAX);
        let came = decode(&bytes).expect("a sheet");
        let one: Vec<_> = sent.iter().map(|moment| described(moment)).collect();
        assert_eq!(one, came.iter().map(described).collect::<Vec<_>>());
        assert!(decode(&bytes[..bytes.len() - 1]).is_none());
        assert!(decode(&[&bytes[..], &bytes].concat()).is_none(), "more than a sheet has");
        let header = SheetHeader { instance: 1, cuts: 2, take: 3 };
        assert_eq!(SheetHeader::decode(&header.encode()), Some(header));
    }

    #[test]
    fn all_is_sent_once_and_two_seconds_ahead() {
        let stage = stage(20, 5_000);
        let (mut projector, mut sent) = (Projector::default(), Vec::new());
        for millis in (0..4_000).step_by(100) {
            for count in 0.. {
                let sheet = projector.next(at(millis + count), &stage);
                let Some(last) = sheet.last() else { break };
                assert!(count < SHEETS_MAX as i64, "a burst");
                assert!(last.at <= at(millis + 2_000) && sheet[0].at > at(millis));
                sent.extend(sheet.iter().map(|moment| moment.at));
            }
        }
        let all = (0..).map_while(|place| stage.reel.get(place)).map(|moment| moment.at);
        assert_eq!(sent, all.collect::<Vec<_>>());
        // Who comes after a rest has no use for what has been heard.
        projector.rest();
        assert_eq!(projector.next(at(4_000), &stage)[0].at, at(4_020));
    }

    #[test]
    fn another_take_makes_void_what_is_there() {
        let mut screening = Screening::default();
        let header = SheetHeader { instance: 1, cuts: 0, take: 5 };
        assert!(screening.begin(&header));
        assert!(!screening.begin(&header));
        assert!(screening.begin(&SheetHeader { take: 6, ..header }));
        assert!(screening.begin(&SheetHeader { instance: 2, take: 6, ..header }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            if let Some(header) = SheetHeader::decode(&bytes) {
                prop_assert_eq!(header.encode().to_vec(), bytes);
            }
        }
    }
}
