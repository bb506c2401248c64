//! Decides what of a stream is played when: waits until enough is in hand, follows the sender's clock, fades at holes, and
//! has more in hand after each, so that the next one of its kind is bridged.
//!
//! Pure: the time and what the party still has to play are passed in.

use std::time::Duration;

use super::follow::Follow;
use super::held::{self, FADE_FRAMES, Held, Piece};
use super::varispeed::Varispeed;
use crate::source::{DRY, RATE_HZ};

/// Frames that are given at a time, 21 ms.
const PIECE_FRAMES: usize = 1_024;

/// After a silence, so much more than the lead may be in hand before some of it is skipped: a live stream that caught up
/// would otherwise be later after each hole.
const SURPLUS_MAX: Duration = Duration::from_millis(250);

/// Most that is in hand for a sender that is late: as much as the option allows, and less than the party's own reach.
const LEAD_MAX: Duration = Duration::from_secs(4);

/// A longer silence is no late burst but a sender that was away. Nothing that is in hand bridges that.
const LATE_MAX: Duration = Duration::from_secs(3);

/// The way of one stream into the party.
#[derive(Debug)]
pub(super) struct Flow {
    lead: Duration,
    follow: Follow,
    speed: Varispeed,
    phase: Phase,
    /// When the sound broke off, until something comes.
    hole: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Collects until the lead is in hand.
    Collecting { after_hole: bool },
    /// Gives what comes.
    Playing,
}

impl Flow {
    /// Begins, and goes on after a hole, when `lead` is in hand.
    pub(super) fn new(lead: Duration) -> Self {
        Self {
            lead,
            follow: Follow::new(lead),
            speed: Varispeed::default(),
            phase: Phase::Collecting { after_hole: false },
            hole: None,
        }
    }

    /// Nobody has listened for a while, and what was in hand is gone: it begins again as after a hole, which says nothing
    /// of the sender.
    pub(super) fn begin_again(&mut self) {
        self.phase = Phase::Collecting { after_hole: true };
        self.hole = None;
    }

    /// Whether the sender is known to be live.
    pub(super) fn is_live(&self) -> bool {
        self.follow.is_live()
    }

    /// What is played next, at `now`, when what was given before lasts for `ahead`. `None` when there is nothing yet, or
    /// no more.
    pub(super) fn read(
        &mut self,
        now: Duration,
        ahead: Duration,
        held: &mut Held,
    ) -> Option<Piece> {
        if let Phase::Collecting { after_hole } = self.phase {
            if held.frames() > 0
                && let Some(hole) = self.hole.take()
            {
                self.lengthen(now.saturating_sub(hole), held);
            }
            let in_hand = ahead + held.lasts();
            let is_enough = in_hand >= self.lead || held.is_full() || held.ended;
            if !is_enough || held.frames() == 0 {
                return None;
            }
            let surplus = in_hand.saturating_sub(self.lead);
            if after_hole && self.is_live() && surplus > SURPLUS_MAX {
                held.skip(frames(surplus));
            }
            self.follow.restart(now);
            self.phase = Phase::Playing;
            if after_hole {
                held.fade_in();
            }
        }
        let lead_s = (ahead + held.lasts()).as_secs_f64();
        let is_held_back = held.is_full() || held.is_file;
        self.speed.set_pace(self.follow.observe(now, lead_s, is_held_back));
        self.take(now, ahead, held)
    }

    /// From now on as much more is in hand as was missing.
    fn lengthen(&mut self, missing: Duration, held: &mut Held) {
        if missing <= LATE_MAX && !held.is_file {
            let lead = (self.lead + missing).min(LEAD_MAX);
            held.make_room(frames(lead.saturating_sub(self.lead)));
            self.lead = lead;
            self.follow.set_lead(lead);
        }
    }

    /// The last frames stay in hand until more come, so that they can be faded if nothing does.
    fn take(&mut self, now: Duration, ahead: Duration, held: &mut Held) -> Option<Piece> {
        let kept = if held.ended { 0 } else { FADE_FRAMES };
        while held.frames() > kept {
            let piece = held.take(PIECE_FRAMES.min(held.frames() - kept))?;
            let piece = self.convert(piece);
            if !piece.samples.is_empty() {
                return Some(piece);
            }
        }
        if held.ended || ahead >= DRY {
            return None;
        }
        self.phase = Phase::Collecting { after_hole: true };
        self.hole = Some(now);
        // All that is left is of the last track or two, and short.
        let mut last = self.convert(held.take(kept)?);
        while let Some(more) = held.take(kept) {
            let more = self.convert(more);
            last.samples.extend(more.samples);
        }
        self.speed.finish(&mut last.samples);
        held::fade_out(&mut last.samples);
        last.resolution_bits = 24;
        Some(last)
    }

    fn convert(&mut self, mut piece: Piece) -> Piece {
        let mut samples = Vec::with_capacity(piece.samples.len() + 64);
        if !self.speed.read(&piece.samples, &mut samples) {
            piece.resolution_bits = 24;
        }
        piece.samples = samples;
        piece
    }
}

fn frames(span: Duration) -> usize {
    (span.as_secs_f64() * f64::from(RATE_HZ)) as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::CHANNELS;
    use crate::source::track::Track;

    const LEAD: Duration = Duration::from_secs(1);

    /// A party that plays what a flow gives, in virtual time, and silence when it gives nothing.
    struct Party {
        flow: Flow,
        held: Held,
        heard: Vec<f32>,
        now: Duration,
        start: Duration,
    }

    impl Party {
        fn new() -> Self {
            let (flow, held) = (Flow::new(LEAD), Held::new(3 * RATE_HZ as usize / 2));
            Self { flow, held, heard: Vec::new(), now: Duration::ZERO, start: Duration::ZERO }
        }

        fn come(&mut self, samples: Vec<f32>) {
            let track = Arc::new(Track::default());
            self.held.push(Piece { samples, resolution_bits: 16, track }, false);
        }

        fn ahead(&self) -> Duration {
            let heard = (self.heard.len() / CHANNELS) as f64 / f64::from(RATE_HZ);
            (self.start + Duration::from_secs_f64(heard)).saturating_sub(self.now)
        }

        /// Everything that is to be made at this time; returns whether silence was needed.
        fn turn(&mut self) -> bool {
            let mut silent = false;
            while self.ahead() < Duration::from_secs(5) {
                let ahead = self.ahead();
                if let Some(piece) = self.flow.read(self.now, ahead, &mut self.held) {
                    self.heard.extend(piece.samples);
                } else if self.ahead() < DRY {
                    self.heard.extend([0.0; 480 * CHANNELS]);
                    silent = true;
                } else {
                    break;
                }
            }
            silent
        }
    }

    fn wave(frames: std::ops::Range<usize>) -> Vec<f32> {
        frames.flat_map(|n| [0.5 * (n as f32 * 0.05).sin(), 0.5]).collect()
    }

    #[test]
    fn a_sender_that_is_faster_is_untouched() {
        let mut party = Party::new();
        let (mut sent, all) = (0, wave(0..30 * 48_000));
        while party.now < Duration::from_secs(20) {
            while !party.held.is_full() && sent < all.len() {
                party.come(all[sent..(sent + 2_000).min(all.len())].to_vec());
                sent += 2_000;
            }
            assert!(!party.turn(), "silence at {:?}", party.now);
            party.now += Duration::from_millis(10);
        }
        assert!(party.ahead() > Duration::from_millis(4_900));
        assert!(party.heard[..] == all[..party.heard.len()]);
    }

    #[test]
    fn a_live_sender_keeps_its_lead_for_minutes() {
        for drift in [300_i64, -300] {
            let mut party = Party::new();
            let mut sent = 0;
            let mut leads = Vec::new();
            for step in 0..240 * 50 {
                // Bursts of 200 ms.
                let due = (48_000 + 48 * drift / 1_000) as usize * (step / 10 + 1) / 5;
                if step % 10 == 0 {
                    party.come(wave(sent..due));
                    sent = due;
                }
                let silent = party.turn();
                assert!(!silent || step < 50, "silence in step {step}");
                party.now += Duration::from_millis(20);
                if step % 10 == 5 {
                    leads.push(party.ahead().as_secs_f64());
                }
            }
            let (early, late) = (leads[20], leads[leads.len() - 1]);
            // Without following, 300 ppm would have moved it by 72 ms.
            assert!((early - late).abs() < 0.04, "{drift} ppm: from {early} to {late} s");
        }
    }

    #[test]
    fn a_hole_is_silent_and_has_soft_edges() {
        let mut party = Party::new();
        let mut sent = 0;
        let mut silent_steps = 0;
        for step in 0..1_000 {
            // Nothing comes between the sixth second and the tenth.
            if !(300..500).contains(&step) {
                party.come(wave(sent..sent + 960));
                sent += 960;
            }
            silent_steps += usize::from(party.turn() && step > 100);
            party.now += Duration::from_millis(20);
        }
        assert!(silent_steps > 100, "{silent_steps} steps with silence");
        // The right side is constant: every step in it is an edge.
        let right: Vec<f32> = party.heard.iter().skip(1).step_by(CHANNELS).copied().collect();
        let begins = right.iter().position(|v| *v != 0.0).unwrap();
        let edge = right[begins + 1..].windows(2).map(|two| (two[1] - two[0]).abs());
        assert!(edge.clone().fold(0.0, f32::max) < 0.004, "{:?}", edge.fold(0.0, f32::max));
        let lead = party.ahead().as_secs_f64();
        assert!((0.9..1.3).contains(&lead), "{lead} s in hand");
    }

    #[test]
    fn what_was_missing_once_is_in_hand_from_then_on() {
        let mut party = Party::new();
        let (mut sent, mut silent_steps) = (0, [0; 3]);
        for step in 0..5_900 {
            // Each half minute nothing comes for 1.6 s, and then all of it at once: twice as long as the lead.
            if step % 1_500 < 1_420 {
                let due = 960 * (step + 1);
                party.come(wave(sent..due));
                sent = due;
            }
            let silent = party.turn();
            silent_steps[(step / 2_000).min(2)] += usize::from(silent && step > 100);
            party.now += Duration::from_millis(20);
        }
        assert!(silent_steps[0] > 10, "{silent_steps:?}");
        assert_eq!(silent_steps[1..], [0, 0]);
        let lead = party.ahead().as_secs_f64();
        assert!((1.7..2.8).contains(&lead), "{lead} s in hand");
    }

    #[test]
    fn a_party_that_stood_still_says_nothing_of_the_sender() {
        let mut flow = Flow::new(LEAD);
        flow.begin_again();
        let mut held = Held::new(3 * RATE_HZ as usize / 2);
        let track = Arc::new(Track::default());
        held.push(Piece { samples: wave(0..960), resolution_bits: 16, track }, false);
        assert!(flow.read(Duration::from_secs(1), Duration::ZERO, &mut held).is_none());
        assert_eq!(flow.lead, LEAD);
    }

    #[test]
    fn the_end_comes_whole() {
        let mut party = Party::new();
        party.come(wave(0..1_000));
        party.turn();
        assert!(party.heard.iter().all(|sample| *sample == 0.0), "it waits for more");
        let silence = party.heard.len();
        party.held.ended = true;
        while let Some(piece) = party.flow.read(party.now, party.ahead(), &mut party.held) {
            party.heard.extend(piece.samples);
        }
        assert_eq!(party.heard[silence..], wave(0..1_000));
    }
}
