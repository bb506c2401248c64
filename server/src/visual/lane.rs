//! Which figures a listener gets next, and when. Pure.
//!
//! The rules: nothing that has been heard already, nothing further ahead than the sound is sent, never more than the client
//! can hold, and no more often than it asked for (wire reference 3.5). Nothing is queued here: a listener has a place in the
//! reel, and who falls behind goes on with what is still to be heard.

use std::collections::VecDeque;

use protocol::binary::{Bands, Figure, HEADER_BYTES, VisualizerFrame};
use protocol::message::{SpectrumShape, VisualizerType};
use protocol::time::{ServerSpan, ServerTime};

use super::reel::{Drawn, Levels, Moment, Reel};
use super::{HOP, RATE_MAX};
use crate::pipeline::{LEAD_MAX, ROUND_SPAN};
use crate::source::RATE_HZ;

/// Time between two figures of the same kind.
const HOP_SPAN: ServerSpan = ServerSpan::from_micros(1_000_000 * HOP as i64 / RATE_HZ as i64);

/// What a stream of figures was agreed to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VisualTerms {
    /// Which figures, each once.
    pub(crate) types: Vec<VisualizerType>,
    /// Most in a second, 1 to [`RATE_MAX`].
    pub(crate) rate_max: u32,
    /// The spectrum's bands, if it has any.
    pub(crate) spectrum: Option<SpectrumShape>,
    /// Bytes that the client can hold, headers included.
    pub(crate) capacity_bytes: u64,
}

impl VisualTerms {
    /// Most bytes of the figures of one moment.
    pub(crate) fn moment_bytes_max(&self) -> u64 {
        let bytes = self.types.iter().map(|kind| match kind {
            VisualizerType::Loudness => HEADER_BYTES + 2,
            VisualizerType::FPeak => HEADER_BYTES + 4,
            VisualizerType::Beat | VisualizerType::Peak => HEADER_BYTES + 1,
            VisualizerType::Spectrum => {
                HEADER_BYTES + 2 * self.spectrum.map_or(0, |shape| shape.n_disp_bins as usize)
            }
        });
        bytes.sum::<usize>() as u64
    }
}

/// What is to be done with a listener's figures.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VisualOutput {
    /// Send this message now. It has been counted.
    Send(Vec<u8>),
    /// Other sound follows: tell the client that what it holds is void, then ask again.
    Cleared,
    /// Nothing to do before this time.
    Wait(ServerTime),
}

/// A listener's place in the reel, and its accounts.
#[derive(Debug)]
pub(crate) struct VisualLane {
    terms: VisualTerms,
    place: u64,
    /// Which take of the reel the place is in, once something was sent of it.
    take: Option<u64>,
    /// The figures of the moment that is being sent: one for each type at most.
    parts: VecDeque<Vec<u8>>,
    /// When the last levels that were sent are heard.
    levels_at: Option<ServerTime>,
    /// When what was sent is heard, and its bytes: at most what the lead has moments.
    sent: VecDeque<(ServerTime, u64)>,
    bytes: u64,
}

impl VisualLane {
    /// A stream with nothing sent.
    pub(crate) fn new(terms: VisualTerms) -> Self {
        Self {
            terms,
            place: 0,
            take: None,
            parts: VecDeque::new(),
            levels_at: None,
            sent: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Goes on under other terms.
    pub(crate) fn set_terms(&mut self, terms: VisualTerms) {
        self.terms = terms;
        self.parts.clear();
    }

    /// The next thing to do at `now`.
    pub(crate) fn poll(&mut self, now: ServerTime, reel: &Reel) -> VisualOutput {
        if self.take.is_some_and(|take| take != reel.take()) {
            self.take = None;
            self.parts.clear();
            self.sent.clear();
            self.bytes = 0;
            self.levels_at = None;
            return VisualOutput::Cleared;
        }
        loop {
            if let Some(part) = self.parts.pop_front() {
                return VisualOutput::Send(part);
            }
            self.place = self.place.max(reel.first_after(now));
            let Some(moment) = reel.get(self.place) else {
                // Not sooner: figures are sent with the sound, several at a time.
                return VisualOutput::Wait(now + ROUND_SPAN);
            };
            if moment.at > now + LEAD_MAX {
                return VisualOutput::Wait(moment.at - LEAD_MAX + ROUND_SPAN);
            }
            let parts = self.parts_of(moment);
            let bytes = parts.iter().map(|part| part.len() as u64).sum();
            if let Some(until) = self.room_at(now, bytes) {
                return VisualOutput::Wait(until);
            }
            self.place += 1;
            if bytes > 0 {
                self.take = Some(reel.take());
                self.sent.push_back((moment.at, bytes));
                self.bytes += bytes;
                if matches!(moment.figure, Drawn::Levels(_)) {
                    self.levels_at = Some(moment.at);
                }
                self.parts = parts;
            }
        }
    }

    /// When there is room for `bytes` more; `None` is now.
    fn room_at(&mut self, now: ServerTime, bytes: u64) -> Option<ServerTime> {
        while let Some((_, heard)) = self.sent.pop_front_if(|&mut (at, _)| at <= now) {
            self.bytes -= heard;
        }
        if self.bytes + bytes <= self.terms.capacity_bytes {
            return None;
        }
        self.sent.front().map(|&(at, _)| at)
    }

    /// What the client gets of a moment.
    fn parts_of(&self, moment: &Moment) -> VecDeque<Vec<u8>> {
        let frame = |figure| VisualizerFrame { at: moment.at, figure }.encode();
        let wants = |kind| self.terms.types.contains(&kind);
        let event = |kind, figure| wants(kind).then(|| frame(figure)).into_iter().collect();
        match &moment.figure {
            Drawn::Beat => event(VisualizerType::Beat, Figure::Beat { downbeat: false }),
            Drawn::Peak(strength) => event(VisualizerType::Peak, Figure::Peak(*strength)),
            Drawn::Levels(_) if !self.is_due(moment.at) => VecDeque::new(),
            Drawn::Levels(levels) => {
                let parts =
                    self.terms.types.iter().filter_map(|&kind| self.level(levels, kind, moment.at));
                parts.collect()
            }
        }
    }

    fn level(&self, levels: &Levels, kind: VisualizerType, at: ServerTime) -> Option<Vec<u8>> {
        let frame = |figure| VisualizerFrame { at, figure }.encode();
        match kind {
            VisualizerType::Loudness => Some(frame(Figure::Loudness(levels.loudness))),
            VisualizerType::FPeak => {
                let (hz, amplitude) = levels.peak;
                Some(frame(Figure::FPeak { hz, amplitude }))
            }
            VisualizerType::Spectrum => {
                let bands = levels.bands(self.terms.spectrum?);
                Some(frame(Figure::Spectrum(Bands(&bands))))
            }
            VisualizerType::Beat | VisualizerType::Peak => None,
        }
    }

    /// Whether levels at that time are not more than the client wants.
    fn is_due(&self, at: ServerTime) -> bool {
        let period =
            ServerSpan::from_micros(1_000_000 / i64::from(self.terms.rate_max.clamp(1, RATE_MAX)));
        let slack = ServerSpan::from_micros(HOP_SPAN.as_micros() / 2);
        self.levels_at.is_none_or(|last| at - last + slack >= period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::at;
    use crate::source::CHANNELS;
    use crate::visual::analyser::Finding;
    use crate::visual::spectrum::{Prism, WINDOW};
    use protocol::binary::BinaryMessage;
    use protocol::message::Scale;

    /// Levels every 20 ms from `from` up to and without `to`, and a beat in each half second.
    fn fill(reel: &mut Reel, from: i64, to: i64) {
        let silence = Prism::new().split(&vec![0.0; WINDOW * CHANNELS]);
        for millis in (from..to).step_by(20) {
            reel.push(Moment::new(at(millis), Finding::Spectrum(silence.clone())));
            if millis % 500 == 0 {
                reel.push(Moment::new(at(millis), Finding::Beat));
            }
        }
    }

    fn terms(types: &[VisualizerType]) -> VisualTerms {
        VisualTerms {
            types: types.to_vec(),
            rate_max: RATE_MAX,
            spectrum: Some(SpectrumShape {
                n_disp_bins: 8,
                scale: Scale::Mel,
                f_min: 40,
                f_max: 9_000,
            }),
            capacity_bytes: 1 << 20,
        }
    }

    /// The id and the time in milliseconds of everything that is sent at `millis`, and how long it then waits.
    fn drain(lane: &mut VisualLane, millis: i64, reel: &Reel) -> (Vec<(u8, i64)>, i64) {
        let mut sent = Vec::new();
        loop {
            match lane.poll(at(millis), reel) {
                VisualOutput::Send(message) => {
                    let Ok(BinaryMessage::Visualizer(frame)) = BinaryMessage::decode(&message)
                    else {
                        panic!("no frame");
                    };
                    sent.push((message[0], frame.at.as_micros() / 1_000));
                }
                VisualOutput::Cleared => sent.push((0, 0)),
                VisualOutput::Wait(until) => return (sent, until.as_micros() / 1_000 - millis),
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_sent_once_and_in_order() {
        let mut reel = Reel::default();
        fill(&mut reel, 0, 1_000);
        let types = [VisualizerType::Loudness, VisualizerType::Beat];
        let mut lane = VisualLane::new(terms(&types));
        let (sent, wait) = drain(&mut lane, 400, &reel);
        assert_eq!(sent[..3], [(16, 420), (16, 440), (16, 460)]);
        assert!(sent.is_sorted_by_key(|&(_, time)| time));
        assert_eq!(sent.iter().filter(|&&(id, _)| id == 17).collect::<Vec<_>>(), [&(17, 500)]);
        assert_eq!((sent.len(), wait), (29 + 1, 500));
        assert_eq!(drain(&mut lane, 450, &reel).0, []);
        fill(&mut reel, 1_000, 9_000);
        let (sent, _) = drain(&mut lane, 900, &reel);
        assert_eq!((sent[0], sent.last()), ((16, 1_000), Some(&(16, 5_900))));
    }

    #[test]
    fn what_has_been_heard_is_left_out() {
        let mut reel = Reel::default();
        fill(&mut reel, 0, 5_000);
        let mut lane = VisualLane::new(terms(&[VisualizerType::Loudness]));
        lane.poll(at(0), &reel);
        assert_eq!(drain(&mut lane, 4_000, &reel).0[0], (16, 4_020));
    }

    #[test]
    fn a_slow_screen_gets_fewer_levels_and_all_beats() {
        let mut reel = Reel::default();
        fill(&mut reel, 20, 3_000);
        let types = [VisualizerType::Spectrum, VisualizerType::Beat];
        let mut lane = VisualLane::new(VisualTerms { rate_max: 10, ..terms(&types) });
        let (sent, _) = drain(&mut lane, 0, &reel);
        let count = |wanted| sent.iter().filter(|&&(id, _)| id == wanted).count();
        assert_eq!((count(19), count(17)), (30, 5));
    }

    #[test]
    fn a_client_never_holds_more_than_it_can() {
        let mut reel = Reel::default();
        fill(&mut reel, 20, 5_000);
        let types = [VisualizerType::Loudness];
        // Ten frames of eleven bytes, and not quite another.
        let mut lane = VisualLane::new(VisualTerms { capacity_bytes: 120, ..terms(&types) });
        let (sent, wait) = drain(&mut lane, 0, &reel);
        assert_eq!((sent.len(), wait), (10, 20));
        assert_eq!(drain(&mut lane, 45, &reel).0, [(16, 220), (16, 240)]);
    }

    #[test]
    fn what_is_void_is_said_to_be() {
        let mut reel = Reel::default();
        fill(&mut reel, 0, 5_000);
        let mut lane = VisualLane::new(terms(&[VisualizerType::FPeak]));
        drain(&mut lane, 0, &reel);
        reel.cut();
        fill(&mut reel, 1_000, 1_040);
        assert_eq!(drain(&mut lane, 20, &reel).0, [(0, 0), (18, 1_000), (18, 1_020)]);
    }
}
