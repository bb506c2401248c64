//! What to hand the audio output now: stream frames, resampled, for stated frames of the output.
//!
//! Sound comes in *runs*: within a run the stream is read continuously at a rate that
//! [`RateControl`] nudges; a run begins with a short fade and ends with one. Frames that are missing are
//! silence, never repeats.

use std::collections::VecDeque;

use protocol::audio::FrameIndex;

use crate::chirp::{Chirps, Overlay};
use crate::jitter_buffer::{Frame, JitterBuffer};
use crate::output_clock::ContextFrame;
use crate::playout_clock::PlayoutClock;
use crate::rate_control::{Action, RateControl};
use crate::resampler::{Kernel, TAPS, TAPS_AFTER, TAPS_BEFORE};

/// Audio for stated frames of the output. A later block for the same frames replaces the earlier one.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Where the first frame belongs.
    pub at: ContextFrame,
    /// Samples per channel, left and right, of equal length.
    pub pcm: [Vec<f32>; 2],
}

/// Output frames between two looks at the sync error: 10 ms at 48 kHz.
const SLICE_FRAMES: i64 = 480;
/// Length of the fade at the ends of a run and over a jump, seconds. Shorter clicks, longer is a hole.
const FADE_S: f64 = 0.005;
/// A run begins where at least this much of the stream is there, seconds, so that it does not stutter.
const RUN_S_MIN: f64 = 0.020;
/// Stream kept behind the reading position, seconds, for a jump back.
const KEEP_BEHIND_S: f64 = 0.100;
/// Pieces of output remembered, to say later what was heard when: 8 s of slices.
const PIECES_MAX: usize = 800;

/// Clocks that seem further apart than this, ppm, are not known yet: no crystal is. The specification's limit
/// for the speed of a player is the same (wire reference 5.5).
const DRIFT_PPM_MAX: f64 = 5_000.0;

/// Frames of the output that may be written.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The first frame that is surely not rendered before it arrives.
    pub from: ContextFrame,
    /// Missing audio is waited for until its frame is nearer than this.
    pub patience: ContextFrame,
    /// End (exclusive) of what is to be handed out.
    pub until: ContextFrame,
}

/// A continuous piece of output: stream position `position + i × ratio` on frame `at + i`.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: i64,
    frames: i64,
    position: f64,
    ratio: f64,
}

/// Sound that is going on.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Next frame of the output.
    at: i64,
    /// Stream position of that frame.
    position: f64,
    /// Stream frames per output frame.
    ratio: f64,
    control: RateControl,
    /// Output frames of fade-in that are still to come.
    fade_in: i64,
    /// What is faded out meanwhile, after a jump: its position, read at the same ratio.
    leaving: Option<f64>,
    /// The last fade is over from this frame of the output on.
    steady: i64,
}

/// Counts of what a listener might have heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disturbances {
    /// Jumps to the right frame while sounding.
    pub jumps: u32,
    /// Times that sound broke off because the stream or the page was late, and then went on.
    pub underruns: u32,
}

/// Turns a stream into blocks. One for each stream and output.
#[derive(Debug)]
pub struct Scheduler {
    reader: Reader,
    fade_frames: i64,
    run: Option<Run>,
    /// First frame of the output that no earlier run has taken.
    free: ContextFrame,
    /// Sound broke off and has not come back yet.
    broken: bool,
    /// The next piece may jump without being counted: somebody asked for it.
    moved: bool,
    /// What is to sound in place of the stream.
    instead: Option<Chirps>,
    disturbances: Disturbances,
    pieces: VecDeque<Piece>,
    /// The block that is being filled.
    pcm: [Vec<f32>; 2],
}

impl Scheduler {
    /// A scheduler for a stream of `stream_hz` on an output of `output_hz`.
    #[must_use]
    pub fn new(stream_hz: u32, output_hz: u32) -> Self {
        Self {
            reader: Reader {
                kernel: Kernel::new(stream_hz, output_hz),
                frames: Vec::new(),
                overlay: Overlay::default(),
            },
            fade_frames: ((f64::from(output_hz) * FADE_S) as i64).max(1),
            run: None,
            free: ContextFrame(i64::MIN),
            broken: false,
            moved: false,
            instead: None,
            disturbances: Disturbances::default(),
            pieces: VecDeque::with_capacity(PIECES_MAX),
            pcm: [Vec::new(), Vec::new()],
        }
    }

    /// Hands out what is to be played within `window`. `None` when there is nothing (yet).
    ///
    /// Call again for the rest: a block ends where a run ends.
    pub fn next_block(
        &mut self,
        stream: &mut JitterBuffer,
        clock: &PlayoutClock<'_>,
        window: Window,
    ) -> Option<Block> {
        let mut run = self.current_run(stream, clock, window)?;
        if self.reader.overlay.now() != self.instead {
            self.reader.overlay.change(self.instead, run.position as i64);
        }
        let at = ContextFrame(run.at);
        while run.at < window.until.0 {
            let frames = SLICE_FRAMES.min(window.until.0 - run.at);
            if self.steer(&mut run, clock, frames).is_none() {
                break;
            }
            self.run = Some(run);
            let last = run.position + run.ratio * frames as f64;
            let have = stream.contiguous_end(run.position.floor() as i64).unwrap_or(i64::MIN);
            if last as i64 + TAPS_AFTER as i64 <= have {
                self.render(stream, &mut run, frames);
                self.run = Some(run);
                continue;
            }
            if stream.end() > Some(have) || run.at < window.patience.0 {
                self.end_run(stream, run, have);
            }
            break;
        }
        // What was handed out may have to be read once more.
        let oldest = self.position_on(window.from.0 as f64).unwrap_or(run.position);
        let keep = KEEP_BEHIND_S * f64::from(clock.timeline.rate_hz());
        stream.discard_before(FrameIndex((oldest - keep) as i64));
        let pcm = std::mem::take(&mut self.pcm);
        (!pcm[0].is_empty()).then_some(Block { at, pcm })
    }

    /// The run that is going on, or one that can begin.
    fn current_run(
        &mut self,
        stream: &JitterBuffer,
        clock: &PlayoutClock<'_>,
        window: Window,
    ) -> Option<Run> {
        if let Some(run) = self.run {
            if run.at >= window.from.0 {
                let from = window.from.0;
                let there = |position: &f64| {
                    stream.contiguous_end(position.floor() as i64 - TAPS_BEFORE as i64).is_some()
                };
                let void = self.void_from(from, &run, clock).filter(there);
                return Some(match void {
                    Some(position) => self.again_from(from, position, run),
                    None => run,
                });
            }
            // The page was too late for these frames: they are silence already.
            self.run = None;
            self.broken = true;
        }
        let window = Window { from: window.from.max(self.free), ..window };
        let run = begin_run(stream, clock, window, self.fade_frames)?;
        if std::mem::take(&mut self.broken) {
            self.disturbances.underruns += 1;
        }
        Some(run)
    }

    /// The stream position that was handed out for `frame`, if that turned out to be the wrong place for it, or
    /// something else is to sound there.
    fn void_from(&self, frame: i64, run: &Run, clock: &PlayoutClock<'_>) -> Option<f64> {
        let position = self.position_on(frame as f64)?;
        let late_us = (clock.due_at(frame as f64)? - position) * clock.micros_per_frame();
        let is_void = RateControl::must_jump(late_us) || self.reader.overlay.now() != self.instead;
        (is_void && frame >= run.steady).then_some(position)
    }

    /// The run from `frame` on again, where it was at `position`.
    ///
    /// What is handed out again replaces what was: the listener hears the correction now, and not when all
    /// that was handed out has been heard.
    fn again_from(&mut self, frame: i64, position: f64, run: Run) -> Run {
        self.pieces.retain_mut(|piece| {
            piece.frames = piece.frames.min(frame - piece.at);
            piece.frames > 0
        });
        Run { at: frame, position, fade_in: 0, leaving: None, ..run }
    }

    /// Sets the run's ratio for the next `frames`, or jumps. `None` when the output's clock is lost.
    fn steer(&mut self, run: &mut Run, clock: &PlayoutClock<'_>, frames: i64) -> Option<()> {
        let (due, drift_ppm) = due_and_drift(clock, run.at, frames)?;
        let late_us = (due - run.position) * clock.micros_per_frame();
        let span_s = frames as f64 / f64::from(clock.output.rate_hz());
        let asked_for = std::mem::take(&mut self.moved);
        let ppm = match run.control.decide(late_us, drift_ppm, span_s) {
            Action::Play { ppm } => ppm,
            Action::Jump => {
                if run.fade_in == 0 {
                    run.leaving = Some(run.position);
                    run.fade_in = self.fade_frames;
                    run.steady = run.at + self.fade_frames;
                    self.disturbances.jumps += u32::from(!asked_for);
                }
                run.position = due;
                drift_ppm
            }
        };
        run.ratio = clock.nominal_ratio() * (1.0 + ppm * 1e-6);
        Some(())
    }

    /// Plays the rest of the stream, which is unbroken up to `have`, fading out over its end.
    fn end_run(&mut self, stream: &JitterBuffer, mut run: Run, have: i64) {
        let left = ((have as f64 - run.position) / run.ratio).floor() as i64;
        if left > 0 {
            self.render(stream, &mut run, left);
        }
        let fade = (self.fade_frames as usize).min(self.pcm[0].len());
        for channel in &mut self.pcm {
            let tail = channel.len() - fade;
            for (i, sample) in channel[tail..].iter_mut().enumerate() {
                *sample *= equal_power(1.0 - (i + 1) as f32 / fade as f32);
            }
        }
        self.run = None;
        self.free = ContextFrame(run.at);
        self.broken = true;
    }

    /// Appends `frames` of the run to the block and moves the run on.
    fn render(&mut self, stream: &JitterBuffer, run: &mut Run, frames: i64) {
        let piece = Piece { at: run.at, frames, position: run.position, ratio: run.ratio };
        if self.pieces.len() == PIECES_MAX {
            self.pieces.pop_front();
        }
        self.pieces.push_back(piece);
        let first = self.pcm[0].len();
        let [left, right] = &mut self.pcm;
        self.reader.read(stream, piece, |frame| {
            left.push(frame[0]);
            right.push(frame[1]);
        });
        if run.fade_in > 0 {
            self.fade_in(stream, run, first);
        }
        run.at += frames;
        run.position += run.ratio * frames as f64;
    }

    /// Fades the block in from its sample `first` on, and what the run jumped away from out.
    fn fade_in(&mut self, stream: &JitterBuffer, run: &mut Run, first: usize) {
        let all = self.fade_frames;
        let done = all - run.fade_in;
        let faded = run.fade_in.min((self.pcm[0].len() - first) as i64);
        let progress = |i: usize| (done as f32 + i as f32 + 1.0) / (all as f32 + 1.0);
        for channel in &mut self.pcm {
            for (i, sample) in channel[first..][..faded as usize].iter_mut().enumerate() {
                *sample *= equal_power(progress(i));
            }
        }
        if let Some(position) = run.leaving {
            let piece = Piece { at: run.at, frames: faded, position, ratio: run.ratio };
            let [left, right] = &mut self.pcm;
            let mut i = 0;
            self.reader.read(stream, piece, |frame| {
                let gain = equal_power(1.0 - progress(i));
                left[first + i] += gain * frame[0];
                right[first + i] += gain * frame[1];
                i += 1;
            });
            run.leaving = Some(position + run.ratio * faded as f64);
        }
        run.fade_in -= faded;
        if run.fade_in == 0 {
            run.leaving = None;
        }
    }

    /// Lets chirps sound in place of the stream, or the stream again. What was handed out already is handed out anew.
    pub fn play_instead(&mut self, chirps: Option<Chirps>) {
        self.instead = chirps;
    }

    /// The sound was moved on purpose: the jump to its new place is no disturbance.
    pub fn expect_jump(&mut self) {
        self.moved = true;
    }

    /// Ends the run without a sound: what was handed out is void.
    pub fn reset(&mut self) {
        self.run = None;
        self.free = ContextFrame(i64::MIN);
        self.broken = false;
        self.pieces.clear();
    }

    /// The stream position that was put on `frame` of the output; `None` when silence was.
    #[must_use]
    pub fn position_on(&self, frame: f64) -> Option<f64> {
        let piece = self.pieces.iter().rev().find(|piece| piece.at as f64 <= frame)?;
        let into = frame - piece.at as f64;
        (into < piece.frames as f64).then_some(piece.position + into * piece.ratio)
    }

    /// End (exclusive) of what was handed out in the present run.
    #[must_use]
    pub fn handed_out_until(&self) -> Option<ContextFrame> {
        self.run.map(|run| ContextFrame(run.at))
    }

    /// Stream position up to which the stream was read in the present run.
    #[must_use]
    pub fn read_until(&self) -> Option<f64> {
        self.run.map(|run| run.position)
    }

    /// What a listener might have heard.
    #[must_use]
    pub const fn disturbances(&self) -> Disturbances {
        self.disturbances
    }
}

/// How a run can begin within `window`: at its start, or where the stream's next audio is due.
fn begin_run(
    stream: &JitterBuffer,
    clock: &PlayoutClock<'_>,
    window: Window,
    fade_frames: i64,
) -> Option<Run> {
    let due = clock.due_at(window.from.0 as f64)?;
    let begin = stream.next_present(due.ceil() as i64)?;
    let enough = (RUN_S_MIN * f64::from(clock.timeline.rate_hz())) as i64 + TAPS_AFTER as i64;
    if stream.contiguous_end(begin)? < begin.saturating_add(enough) {
        return None;
    }
    let from = window.from.0;
    let later = begin as f64 > due + 1.0;
    let at = if later { clock.frame_for(begin as f64)?.ceil() as i64 } else { from };
    let at = at.max(from);
    if at >= window.until.0 {
        return None;
    }
    let (position, drift_ppm) = due_and_drift(clock, at, SLICE_FRAMES)?;
    let ratio = clock.nominal_ratio() * (1.0 + drift_ppm * 1e-6);
    let control = RateControl::new(drift_ppm);
    let steady = at + fade_frames;
    Some(Run { at, position, ratio, control, fade_in: fade_frames, leaving: None, steady })
}

/// The stream position due on frame `at`, and how much faster than nominal the position moves over the
/// next `frames`, ppm. `None` while the clocks are not known well enough to be believed.
fn due_and_drift(clock: &PlayoutClock<'_>, at: i64, frames: i64) -> Option<(f64, f64)> {
    let due = clock.due_at(at as f64)?;
    let moved = clock.due_at((at + frames) as f64)? - due;
    let drift_ppm = (moved / (clock.nominal_ratio() * frames as f64) - 1.0) * 1e6;
    (drift_ppm.abs() <= DRIFT_PPM_MAX).then_some((due, drift_ppm))
}

/// Reads a stream at fractional positions.
#[derive(Debug)]
struct Reader {
    kernel: Kernel,
    /// Stream frames around the piece that is read.
    frames: Vec<Frame>,
    overlay: Overlay,
}

impl Reader {
    /// Hands each output frame of `piece` to `put`.
    fn read(&mut self, stream: &JitterBuffer, piece: Piece, mut put: impl FnMut(Frame)) {
        let end = piece.position + piece.ratio * piece.frames as f64;
        let first = piece.position.floor() as i64 - TAPS_BEFORE as i64;
        let last = end.floor() as i64 + TAPS_AFTER as i64;
        self.frames.resize((last - first + 1).max(TAPS as i64) as usize, [0.0; 2]);
        stream.read(first, &mut self.frames);
        self.overlay.apply(first, &mut self.frames);
        for i in 0..piece.frames {
            let position = piece.position + piece.ratio * i as f64;
            let base = position.floor();
            let start = (base as i64 - TAPS_BEFORE as i64 - first) as usize;
            if let Some(window) = self.frames[start..].first_chunk::<TAPS>() {
                put(self.kernel.frame(window, position - base));
            }
        }
    }
}

/// Gain of the louder-growing side of an equal-power fade at `progress` 0.0 to 1.0.
fn equal_power(progress: f32) -> f32 {
    (progress.clamp(0.0, 1.0) * std::f32::consts::FRAC_PI_2).sin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chirp::Sweep;
    use crate::output_clock::{DeviceReading, OutputClock};
    use crate::playout_clock::ServerMapping;
    use protocol::audio::Timeline;
    use protocol::time::{ClientTime, ServerSpan, ServerTime};

    /// An output that began with the client's clock, true and without latency.
    fn output(rate_hz: u32) -> OutputClock {
        let at = |ms: i64| {
            let now = ClientTime::from_micros(ms * 1_000);
            let context_s = ms as f64 / 1e3;
            let output_timestamp = Some((context_s, now));
            (
                now,
                DeviceReading { rate_hz, rendered_s: context_s, output_timestamp, latency_s: None },
            )
        };
        let (now, reading) = at(500);
        let mut clock = OutputClock::new(now, &reading);
        for ms in 501..520 {
            let (now, reading) = at(ms);
            clock.handle_reading(now, &reading);
        }
        clock
    }

    /// A stream whose frame 0 is due on the output's second 1, plus `late_us`.
    fn clock(output: &OutputClock, late_us: i64) -> PlayoutClock<'_> {
        PlayoutClock {
            server: ServerMapping::new(ClientTime::from_micros(0), 0.0, 0.0),
            output,
            timeline: Timeline::new(ServerTime::from_micros(1_000_000 + late_us), 48_000),
            static_delay: ServerSpan::ZERO,
        }
    }

    /// A smooth sound that tells its position: left rises, right falls.
    fn sound(frame: i64) -> Frame {
        let x = frame as f32 * 1e-4;
        [x.sin(), x.cos()]
    }

    fn stream(ranges: &[(i64, i64)]) -> JitterBuffer {
        let mut buffer = JitterBuffer::new(1_000_000);
        for &(first, end) in ranges {
            let pcm: Vec<Frame> = (first..end).map(sound).collect();
            buffer.insert(FrameIndex(first), &pcm);
        }
        buffer
    }

    fn window(from: i64, until: i64) -> Window {
        let [from, patience, until] = [from, from + 4_800, until].map(ContextFrame);
        Window { from, patience, until }
    }

    #[test]
    fn each_frame_is_where_it_is_due() {
        let output = output(48_000);
        let mut stream = stream(&[(0, 48_000)]);
        let mut scheduler = Scheduler::new(48_000, 48_000);
        let block =
            scheduler.next_block(&mut stream, &clock(&output, 0), window(47_000, 60_000)).unwrap();
        assert!((block.at.0 - 48_000).abs() <= 1, "begins at {:?}", block.at);
        assert_eq!(block.at.0 + block.pcm[0].len() as i64, 60_000);
        for i in 300..block.pcm[0].len() {
            let due = sound(block.at.0 + i as i64 - 48_000);
            assert!((block.pcm[0][i] - due[0]).abs() < 1e-3, "frame {i}");
            assert!((block.pcm[1][i] - due[1]).abs() < 1e-3, "frame {i}");
        }
    }

    #[test]
    fn blocks_join_without_a_seam() {
        let output = output(44_100);
        let mut stream = stream(&[(0, 96_000)]);
        let mut scheduler = Scheduler::new(48_000, 44_100);
        let clock = clock(&output, 0);
        let first = scheduler.next_block(&mut stream, &clock, window(44_000, 60_000)).unwrap();
        let second = scheduler.next_block(&mut stream, &clock, window(45_000, 70_000)).unwrap();
        assert_eq!(first.at.0 + first.pcm[0].len() as i64, second.at.0);
        let step = second.pcm[0][0] - first.pcm[0].last().unwrap();
        let before = first.pcm[0].last().unwrap() - first.pcm[0][first.pcm[0].len() - 2];
        assert!((step - before).abs() < 1e-5, "step {step} after {before}");
        assert_eq!(scheduler.disturbances(), Disturbances::default());
    }

    #[test]
    fn a_hole_is_silence_between_two_fades() {
        let output = output(48_000);
        let mut stream = stream(&[(0, 10_000), (12_000, 40_000)]);
        let mut scheduler = Scheduler::new(48_000, 48_000);
        let clock = clock(&output, 0);
        let window = window(47_000, 80_000);
        let before = scheduler.next_block(&mut stream, &clock, window).unwrap();
        let after = scheduler.next_block(&mut stream, &clock, window).unwrap();
        let end = before.at.0 + before.pcm[0].len() as i64;
        assert!((57_980..=58_000).contains(&end), "ends at {end}");
        assert!((60_000..=60_001).contains(&after.at.0), "goes on at {:?}", after.at);
        assert!(before.pcm[1].last().unwrap().abs() < 0.01, "ends in a fade");
        assert!(after.pcm[1][0].abs() < 0.02, "begins in a fade");
        let due = sound(after.at.0 + 1_000 - 48_000);
        assert!((after.pcm[0][1_000] - due[0]).abs() < 1e-3, "what follows is in its place");
        assert_eq!(scheduler.disturbances().underruns, 1);
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for() {
        let output = output(48_000);
        let mut stream = stream(&[(0, 10_000)]);
        let mut scheduler = Scheduler::new(48_000, 48_000);
        let clock = clock(&output, 0);
        let first = scheduler.next_block(&mut stream, &clock, window(47_000, 80_000)).unwrap();
        let end = first.at.0 + first.pcm[0].len() as i64;
        assert!(first.pcm[1].last().unwrap().abs() > 0.1, "no fade: it may go on");
        let pcm: Vec<Frame> = (10_000..20_000).map(sound).collect();
        stream.insert(FrameIndex(10_000), &pcm);
        let second = scheduler.next_block(&mut stream, &clock, window(48_000, 60_000)).unwrap();
        assert_eq!(second.at.0, end);
        assert_eq!(scheduler.disturbances().underruns, 0);
    }

    #[test]
    fn a_page_that_was_blocked_goes_on_at_the_right_frame() {
        let output = output(48_000);
        let mut stream = stream(&[(0, 96_000)]);
        let mut scheduler = Scheduler::new(48_000, 48_000);
        let clock = clock(&output, 0);
        let _ = scheduler.next_block(&mut stream, &clock, window(47_000, 60_000)).unwrap();
        let late = scheduler.next_block(&mut stream, &clock, window(90_000, 96_000)).unwrap();
        assert_eq!(late.at.0, 90_000);
        let due = sound(90_000 + 1_000 - 48_000);
        assert!((late.pcm[0][1_000] - due[0]).abs() < 1e-3);
        assert_eq!(scheduler.disturbances().underruns, 1);
        assert_eq!(scheduler.position_on(70_000.0), None, "nothing was put there");
    }

    #[test]
    fn chirps_sound_at_once_in_place_of_the_stream_and_go_as_they_came() {
        let output = output(48_000);
        let clock = clock(&output, 0);
        let mut stream = stream(&[(0, 400_000)]);
        let mut scheduler = Scheduler::new(48_000, 48_000);
        let _ = scheduler.next_block(&mut stream, &clock, window(47_000, 120_000)).unwrap();
        let chirps = Chirps { sweep: Sweep::Down, timeline: clock.timeline };
        scheduler.play_instead(Some(chirps));
        let block = scheduler.next_block(&mut stream, &clock, window(60_000, 130_000)).unwrap();
        assert_eq!(block.at.0, 60_000, "what was handed out is void");
        let steps = block.pcm[0][..1_000].windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert!(steps.fold(0.0, f32::max) < 0.01, "music gives way without a step");
        for i in 1_000..block.pcm[0].len() {
            // The stream begins at 1 s of the server's time, where the down-sweep does: then again after 2 s.
            let due =
                Sweep::Down.at((block.at.0 + i as i64 - 48_000) as f64 / 48_000.0 % 2.0) as f32;
            assert!((block.pcm[0][i] - due).abs() < 1e-3, "frame {i}");
        }
        assert!(block.pcm[0].iter().any(|sample| sample.abs() < 1e-6), "silence between chirps");
        let more = scheduler.next_block(&mut stream, &clock, window(120_000, 150_000)).unwrap();
        assert_eq!(more.at.0, 130_000, "once only");
        assert!(more.pcm[0].iter().any(|sample| sample.abs() > 0.2), "the next chirp");
        scheduler.play_instead(None);
        let music = scheduler.next_block(&mut stream, &clock, window(147_000, 160_000)).unwrap();
        assert_eq!(music.at.0, 147_000);
        let due = sound(147_000 + 1_000 - 48_000);
        assert!((music.pcm[0][1_000] - due[0]).abs() < 1e-3, "the stream where it belongs");
        assert_eq!(scheduler.disturbances(), Disturbances::default());
    }

    #[test]
    fn a_jump_fades_over_and_lands_where_it_is_due() {
        let output = output(48_000);
        let mut stream = stream(&[(0, 96_000)]);
        let mut scheduler = Scheduler::new(48_000, 48_000);
        let _ =
            scheduler.next_block(&mut stream, &clock(&output, 0), window(47_000, 60_000)).unwrap();
        let moved = clock(&output, -30_000);
        let block = scheduler.next_block(&mut stream, &moved, window(50_000, 65_000)).unwrap();
        assert_eq!(scheduler.disturbances(), Disturbances { jumps: 1, underruns: 0 });
        // At once, and not when what was handed out before is over.
        assert_eq!(block.at.0, 50_000);
        let due = sound(50_000 + 1_000 - 48_000 + 1_440);
        assert!((block.pcm[0][1_000] - due[0]).abs() < 1e-3);
        let heard = sound(50_000 - 48_000);
        assert!((block.pcm[0][0] - heard[0]).abs() < 0.02, "goes on from what is heard");
        let steps = block.pcm[0].windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert!(steps.fold(0.0, f32::max) < 0.01, "no step in the waveform");
    }
}
