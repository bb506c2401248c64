//! The pictures that an edge lacks: which one it asks its origin for, and when.
//!
//! Pure: times and what is there go in, names of pictures come out. One is asked for at a time, and what cannot be had is
//! soon left alone.

use std::collections::BTreeMap;

use protocol::time::{ClientSpan, ClientTime};

use crate::fanout::stage::Stage;
use crate::source::PictureId;

/// How often one picture is asked for as long as a track has it.
const ASKS_MAX: u8 = 3;

/// How long an answer may take. A picture may have half a megabyte, and chunks go first.
const ANSWER_WITHIN: ClientSpan = ClientSpan::from_secs(3);

/// How long one that could not be had is left alone.
const AGAIN_AFTER: ClientSpan = ClientSpan::from_secs(3);

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    /// Pictures of tracks that are known: at most one for each.
    asked: BTreeMap<PictureId, Asked>,
    /// The one that is on its way, and until when.
    open: Option<(PictureId, ClientTime)>,
}

#[derive(Debug)]
struct Asked {
    times: u8,
    again_at: ClientTime,
}

impl Pictures {
    /// There is another connection: what was on its way does not come.
    pub(crate) fn disconnect(&mut self) {
        *self = Self::default();
    }

    /// The picture to ask for at `now`, if one is missing.
    pub(crate) fn next(&mut self, now: ClientTime, stage: &Stage) -> Option<PictureId> {
        if self.open.is_some_and(|(_, until)| now < until) {
            return None;
        }
        self.open = None;
        self.asked.retain(|id, _| stage.group.pictures().any(|known| known == *id));
        let missing = stage.group.pictures().filter(|id| stage.gallery.get(*id).is_none());
        let is_due = |asked: &Asked| asked.times < ASKS_MAX && asked.again_at <= now;
        let next = { missing }.find(|id| self.asked.get(id).is_none_or(is_due))?;
        let asked = self.asked.entry(next).or_insert(Asked { times: 0, again_at: now });
        asked.times += 1;
        asked.again_at = now + ANSWER_WITHIN + AGAIN_AFTER;
        self.open = Some((next, now + ANSWER_WITHIN));
        Some(next)
    }

    /// The origin has answered at `now`: whether with that picture. It is asked once more only if not.
    pub(crate) fn handle_answer(&mut self, now: ClientTime, id: PictureId, is_there: bool) {
        self.open.take_if(|(open, _)| *open == id);
        if let Some(asked) = self.asked.get_mut(&id) {
            asked.again_at = now + AGAIN_AFTER;
            if is_there {
                asked.times = ASKS_MAX;
            }
        }
    }

    /// When to ask on if no answer comes.
    pub(crate) fn deadline(&self) -> Option<ClientTime> {
        self.open.map(|(_, until)| until)
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

    #[test]
    fn each_is_asked_for_once_and_one_at_a_time() {
        let (mut pictures, mut stage) = (Pictures::default(), stage(&[1, 2, 1]));
        assert_eq!(pictures.next(host(0), &stage), Some(picture(1).id));
        assert_eq!(pictures.next(host(10), &stage), None);
        pictures.handle_answer(host(20), picture(1).id, true);
        // It is still being looked at.
        assert_eq!(pictures.next(host(20), &stage), Some(picture(2).id));
        pictures.handle_answer(host(30), picture(2).id, true);
        stage.gallery.hang(picture(1));
        stage.gallery.hang(picture(2));
        assert_eq!(pictures.next(host(60_000), &stage), None);
    }

    #[test]
    fn what_cannot_be_had_is_left_alone_and_keeps_nobody_waiting() {
        let (mut pictures, mut stage) = (Pictures::default(), stage(&[1, 2]));
        let mut asked = Vec::new();
        for millis in (0..60_000).step_by(100) {
            if let Some(id) = pictures.next(host(millis), &stage) {
                asked.push(id);
                // The origin has forgotten the first, and of the second nothing is heard once.
                if id == picture(1).id {
                    pictures.handle_answer(host(millis), id, false);
                } else if asked.iter().filter(|other| **other == id).count() == 2 {
                    pictures.handle_answer(host(millis), id, true);
                    stage.gallery.hang(picture(2));
                }
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
