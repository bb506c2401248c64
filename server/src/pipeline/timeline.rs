//! Says when each frame is heard.
//!
//! Time comes from the absolute frame index, never from adding durations. When decoding falls behind, the
//! timeline moves forward once, as a new epoch: late audio is worse than a pause.

use protocol::audio::{FrameIndex, Timeline};
use protocol::time::{ServerSpan, ServerTime};

use crate::source::RATE_HZ;

/// How far ahead of now an epoch begins: enough for what players ask for, with some time for a chunk to be made and to
/// pass an edge, and less than a second, after which a pause is a long one.
const EPOCH_LEAD: ServerSpan = ServerSpan::from_millis(800);

/// The same when nobody listened before, or when somebody asked for something else: a person waits for the sound, and
/// players ask for about as much.
const START_LEAD: ServerSpan = ServerSpan::from_millis(300);

/// A chunk that is due sooner than this comes too late for most listeners: a network hop, a decode and an
/// output's own latency are still ahead of it.
const MARGIN: ServerSpan = ServerSpan::from_millis(100);

/// When a chunk is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Time of its first frame.
    pub(crate) play_at: ServerTime,
    /// Time after its last frame.
    pub(crate) end: ServerTime,
    /// Which epoch it belongs to. Frames of one epoch follow each other without a gap.
    pub(crate) epoch: u32,
    /// The epoch begins here, because this was not made in time.
    pub(crate) is_late: bool,
}

/// The party's timeline.
#[derive(Debug, Default)]
pub(crate) struct PartyTimeline {
    timeline: Option<Timeline>,
    epoch: u32,
    is_paused: bool,
    is_cut: bool,
}

impl PartyTimeline {
    /// What was stamped and not heard is void: what comes next is heard as soon as can be.
    pub(crate) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Nothing is made until somebody listens.
    pub(crate) fn pause(&mut self) {
        self.is_paused = true;
    }

    /// When `frame` is heard if nothing falls behind. `None` before the first stamp, and the first after a cut.
    pub(crate) fn time_of(&self, frame: FrameIndex) -> Option<ServerTime> {
        self.timeline.filter(|_| !self.is_cut).map(|timeline| timeline.time_of(frame))
    }

    /// Stamps the `frames` frames from `first` on, which were made at `now`.
    ///
    /// Begins a new epoch if they are too late for the running one.
    pub(crate) fn stamp(&mut self, first: FrameIndex, frames: i64, now: ServerTime) -> Stamp {
        let (is_paused, is_cut) = (self.is_paused, self.is_cut);
        let in_time = |timeline: &Timeline| !is_cut && timeline.time_of(first) >= now + MARGIN;
        let (timeline, is_late) = match self.timeline.filter(in_time) {
            Some(timeline) => (timeline, false),
            None => (self.begin_epoch(first, now), !is_paused && !is_cut),
        };
        (self.is_paused, self.is_cut) = (false, false);
        Stamp {
            play_at: timeline.time_of(first),
            end: timeline.time_of(FrameIndex(first.0 + frames)),
            epoch: self.epoch,
            is_late,
        }
    }

    fn begin_epoch(&mut self, first: FrameIndex, now: ServerTime) -> Timeline {
        // Frame 0 may lie in the past, or never have been heard at this epoch's pace: it only anchors.
        let zero = Timeline::new(ServerTime::from_micros(0), RATE_HZ).duration_of(first.0);
        let lead = if self.is_paused || self.is_cut { START_LEAD } else { EPOCH_LEAD };
        let timeline = Timeline::new(now + lead - zero, RATE_HZ);
        if self.timeline.is_some() {
            self.epoch += 1;
        }
        self.timeline = Some(timeline);
        timeline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: i64 = 2_400;

    fn at(millis: i64) -> ServerTime {
        ServerTime::from_micros(millis * 1_000)
    }

    #[test]
    fn frames_follow_the_start_without_a_gap() {
        let mut timeline = PartyTimeline::default();
        assert_eq!(timeline.time_of(FrameIndex(0)), None);
        let mut end = at(500) + EPOCH_LEAD;
        for chunk in 0..100 {
            let stamp = timeline.stamp(FrameIndex(chunk * CHUNK), CHUNK, at(500));
            assert_eq!((stamp.play_at, stamp.epoch), (end, 0));
            end = stamp.end;
        }
        assert_eq!(end - at(500), EPOCH_LEAD + ServerSpan::from_secs(5));
    }

    #[test]
    fn falling_behind_begins_one_new_epoch_with_a_full_lead() {
        let mut timeline = PartyTimeline::default();
        timeline.stamp(FrameIndex(0), CHUNK, at(0));
        // Chunk 1 is due at 850 ms: made at 750 it is in time, made a microsecond later it is not.
        let mut late = PartyTimeline { ..timeline };
        assert_eq!(timeline.stamp(FrameIndex(CHUNK), CHUNK, at(750)).epoch, 0);
        let now = at(750) + ServerSpan::from_micros(1);
        let stamp = late.stamp(FrameIndex(CHUNK), CHUNK, now);
        assert_eq!((stamp.epoch, stamp.play_at), (1, now + EPOCH_LEAD));
        let next = late.stamp(FrameIndex(2 * CHUNK), CHUNK, now);
        assert_eq!((next.epoch, next.play_at), (1, stamp.end));
    }

    #[test]
    fn a_pause_ends_soon_after_somebody_comes() {
        let mut timeline = PartyTimeline::default();
        timeline.pause();
        let first = timeline.stamp(FrameIndex(0), CHUNK, at(10_000));
        assert_eq!((first.play_at, first.epoch), (at(10_300), 0));
        // Who is back before the music is over hears no seam.
        timeline.pause();
        let next = timeline.stamp(FrameIndex(CHUNK), CHUNK, at(10_200));
        assert_eq!((next.play_at, next.epoch), (first.end, 0));
        timeline.pause();
        let later = timeline.stamp(FrameIndex(2 * CHUNK), CHUNK, at(99_000));
        assert_eq!((later.play_at, later.epoch, later.is_late), (at(99_300), 1, false));
    }

    #[test]
    fn after_a_cut_the_next_frame_is_heard_soon() {
        let mut timeline = PartyTimeline::default();
        timeline.stamp(FrameIndex(0), 100 * CHUNK, at(0));
        timeline.cut();
        let next = timeline.stamp(FrameIndex(100 * CHUNK), CHUNK, at(2_000));
        assert_eq!((next.play_at, next.epoch, next.is_late), (at(2_300), 1, false));
        let after = timeline.stamp(FrameIndex(101 * CHUNK), CHUNK, at(2_000));
        assert_eq!((after.play_at, after.epoch), (next.end, 1));
    }

    #[test]
    fn a_party_of_a_year_does_not_drift() {
        let mut timeline = PartyTimeline::default();
        let start = timeline.stamp(FrameIndex(0), CHUNK, at(0)).play_at;
        let year = FrameIndex(48_000 * 86_400 * 365);
        assert_eq!(timeline.time_of(year), Some(start + ServerSpan::from_secs(86_400 * 365)));
    }
}
