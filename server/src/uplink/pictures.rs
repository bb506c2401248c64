//! The pictures that an edge lacks: which one it asks its origin for, and when.
//!
//! Pure: times, pieces and what is there go in, requests and pictures come out. One is asked for at a time, piece by piece, so
//! that no more than a piece is ever in the way of what is urgent. What cannot be had is soon left alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::time::{ClientSpan, ClientTime};

use super::wire::{PIECE_BYTES, PictureRequest};
use crate::fanout::stage::Stage;
use crate::picture::develop::KEPT_BYTES_MAX;
use crate::source::PictureId;

/// How often one picture is asked for as long as a track has it.
const ASKS_MAX: u8 = 3;

/// How long an answer may take. Chunks go first.
const ANSWER_WITHIN: ClientSpan = ClientSpan::from_secs(3);

/// How long one that could not be had is left alone.
const AGAIN_AFTER: ClientSpan = ClientSpan::from_secs(3);

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    /// Pictures of tracks that are known: at most one for each.
    asked: BTreeMap<PictureId, Asked>,
    /// The one that is on its way.
    open: Option<Open>,
}

#[derive(Debug)]
struct Asked {
    times: u8,
    again_at: ClientTime,
}

#[derive(Debug)]
struct Open {
    id: PictureId,
    /// What came of it: [`KEPT_BYTES_MAX`] at most.
    bytes: Vec<u8>,
    /// Until when the next piece is expected, if it was asked for.
    until: Option<ClientTime>,
}

impl Open {
    fn ask(&mut self, now: ClientTime) -> PictureRequest {
        self.until = Some(now + ANSWER_WITHIN);
        PictureRequest { id: self.id, from: self.bytes.len() }
    }
}

impl Pictures {
    /// There is another connection: what was on its way does not come.
    pub(crate) fn disconnect(&mut self) {
        *self = Self::default();
    }

    /// What to ask for at `now`, if a picture is missing.
    pub(crate) fn next(&mut self, now: ClientTime, stage: &Stage) -> Option<PictureRequest> {
        match &mut self.open {
            Some(Open { until: Some(until), .. }) if now < *until => return None,
            Some(open) if open.until.is_none() => return Some(open.ask(now)),
            _ => self.open = None,
        }
        self.asked.retain(|id, _| stage.group.pictures().any(|known| known == *id));
        let mut missing = stage.group.pictures().filter(|id| stage.gallery.get(*id).is_none());
        let is_due = |asked: &Asked| asked.times < ASKS_MAX && asked.again_at <= now;
        let id = missing.find(|id| self.asked.get(id).is_none_or(is_due))?;
        let asked = self.asked.entry(id).or_insert(Asked { times: 0, again_at: now });
        asked.times += 1;
        asked.again_at = now + ANSWER_WITHIN + AGAIN_AFTER;
        let open = self.open.insert(Open { id, bytes: Vec::new(), until: None });
        Some(open.ask(now))
    }

    /// The origin has answered `request` at `now`, with nothing if it does not have that picture. Returns what came of it
    /// when that is the last piece; then it is not asked for again.
    pub(crate) fn handle_piece(
        &mut self,
        now: ClientTime,
        request: PictureRequest,
        piece: &[u8],
    ) -> Option<Bytes> {
        let is_asked = |open: &mut Open| {
            open.until.is_some() && (open.id, open.bytes.len()) == (request.id, request.from)
        };
        let mut open = self.open.take_if(is_asked)?;
        open.bytes.extend_from_slice(piece);
        let is_sane = piece.len() <= PIECE_BYTES && open.bytes.len() <= KEPT_BYTES_MAX;
        if is_sane && piece.len() == PIECE_BYTES {
            open.until = None;
            self.open = Some(open);
            return None;
        }
        let asked = self.asked.get_mut(&request.id)?;
        asked.again_at = now + AGAIN_AFTER;
        let is_there = is_sane && !open.bytes.is_empty();
        is_there.then(|| {
            asked.times = ASKS_MAX;
            open.bytes.into()
        })
    }

    /// When to ask on if no answer comes.
    pub(crate) fn deadline(&self) -> Option<ClientTime> {
        self.open.as_ref()?.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::at;
    use crate::group::{Group, TrackMark};
    use crate::picture::gallery::tests::picture;
    use crate::session::Identity;
    use crate::source::Track;
    use std::sync::Arc;

    fn host(millis: i64) -> ClientTime {
        ClientTime::from_micros(millis * 1_000)
    }

    /// What is played has these pictures, and none of them is there.
    fn stage(pictures: &[u8]) -> Stage {
        let mut group = Group::new("g".to_owned(), "n".to_owned());
        for (run, &number) in (0_u64..).zip(pictures) {
            let artwork = Some(picture(number).id);
            let track = Arc::new(Track { artwork, ..Track::default() });
            group.mark(TrackMark { from: at(run as i64), run, track, progress_ms: 0 }, at(-1));
        }
        Stage::new(Arc::new(Identity::default()), group)
    }

    /// The origin has as many bytes of that picture.
    fn answer(
        pictures: &mut Pictures,
        millis: i64,
        request: PictureRequest,
        bytes: usize,
    ) -> Option<usize> {
        let piece = vec![7; bytes.saturating_sub(request.from).min(PIECE_BYTES)];
        pictures.handle_piece(host(millis), request, &piece).map(|jpeg| jpeg.len())
    }

    #[test]
    fn each_is_asked_for_once_and_one_at_a_time() {
        let (mut pictures, mut stage) = (Pictures::default(), stage(&[1, 2, 1]));
        let first = pictures.next(host(0), &stage).expect("a request");
        assert_eq!(first, PictureRequest { id: picture(1).id, from: 0 });
        assert_eq!(pictures.next(host(10), &stage), None);
        assert_eq!(answer(&mut pictures, 20, first, 500), Some(500));
        // It is still being looked at.
        let second = pictures.next(host(20), &stage).expect("a request");
        assert_eq!(second.id, picture(2).id);
        assert_eq!(answer(&mut pictures, 25, first, 500), None, "asked no more");
        assert_eq!(answer(&mut pictures, 30, second, 600), Some(600));
        stage.gallery.hang(picture(1));
        stage.gallery.hang(picture(2));
        assert_eq!(pictures.next(host(60_000), &stage), None);
    }

    #[test]
    fn a_large_one_comes_in_pieces_and_one_that_is_too_large_not_at_all() {
        for (bytes, whole) in [
            (PIECE_BYTES - 1, true),
            (3 * PIECE_BYTES, true),
            (KEPT_BYTES_MAX, true),
            (KEPT_BYTES_MAX + 1, false),
            (usize::MAX, false),
        ] {
            let (mut pictures, stage) = (Pictures::default(), stage(&[1]));
            let (mut came, mut requests) = (None, 0);
            while let Some(request) = pictures.next(host(0), &stage) {
                requests += 1;
                assert!(requests < 100 && pictures.next(host(1), &stage).is_none());
                came = answer(&mut pictures, 0, request, bytes);
            }
            assert_eq!(came, whole.then_some(bytes));
            // Not at once, and not for ever.
            assert_eq!(pictures.next(host(10_000), &stage).is_some(), !whole);
        }
    }

    #[test]
    fn what_cannot_be_had_is_left_alone_and_keeps_nobody_waiting() {
        let (mut pictures, mut stage) = (Pictures::default(), stage(&[1, 2]));
        let mut asked = Vec::new();
        for millis in (0..60_000).step_by(100) {
            let Some(request) = pictures.next(host(millis), &stage) else { continue };
            asked.push(request.id);
            // The origin has forgotten the first, and of the second nothing is heard once.
            if request.id == picture(1).id {
                assert_eq!(answer(&mut pictures, millis, request, 0), None);
            } else if asked.iter().filter(|other| **other == request.id).count() == 2 {
                assert_eq!(answer(&mut pictures, millis, request, 9), Some(9));
                stage.gallery.hang(picture(2));
            }
        }
        let count = |number| asked.iter().filter(|id| **id == picture(number).id).count();
        assert_eq!((count(1), count(2)), (usize::from(ASKS_MAX), 2));
        assert_eq!(asked[1], picture(2).id);
    }

    #[test]
    fn a_new_connection_is_a_new_chance() {
        let (mut pictures, stage) = (Pictures::default(), stage(&[1]));
        assert!(pictures.next(host(0), &stage).is_some());
        assert_eq!(pictures.deadline(), Some(host(3_000)));
        pictures.disconnect();
        assert!(pictures.next(host(1), &stage).is_some());
    }
}
