//! One stream: from the chunks of a connection to blocks for the output.

use protocol::audio::{AudioFormat, FrameIndex, Timeline};
use protocol::time::{ServerSpan, ServerTime};

use crate::chirp::{Chirps, Sweep};
use crate::decoder::{DecodeError, Decoder};
use crate::jitter_buffer::{Inserted, JitterBuffer};
use crate::output_clock::OutputClock;
use crate::playout_clock::{PlayoutClock, ServerMapping};
use crate::scheduler::{Block, Disturbances, Scheduler, Window};

/// Most audio that is held, seconds. Twice what a server sends ahead; a server that sends more ignores
/// the capacity it was told.
const BUFFER_S_MAX: usize = 10;

/// Two estimates of one clock differ by less than this, microseconds; two clocks differ by more.
const SAME_CLOCK_US: f64 = 100_000.0;

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// It waits for its time, or was there already.
    Accepted,
    /// Its time has passed; it is dropped.
    Late,
    /// There is no room; it is dropped.
    Overflow,
}

/// A stream and where it is.
#[derive(Debug)]
pub(super) struct Stream {
    decoder: Decoder,
    /// Begins with the first chunk.
    timeline: Option<Timeline>,
    buffer: JitterBuffer,
    /// Made when the output's rate is known.
    scheduler: Option<Scheduler>,
    /// The server's clock, once it is known. A stream that outlives its connection keeps the last one.
    mapping: Option<ServerMapping>,
    /// What sounds in its place.
    instead: Option<Sweep>,
    /// The connection that fed it is gone.
    orphaned: bool,
    /// Of outputs that are gone.
    past: Disturbances,
}

impl Stream {
    /// A stream of `format`.
    pub(super) fn new(format: AudioFormat) -> Result<Self, DecodeError> {
        let decoder = Decoder::new(format)?;
        let frames_max = BUFFER_S_MAX * format.sample_rate as usize;
        Ok(Self {
            decoder,
            timeline: None,
            buffer: JitterBuffer::new(frames_max),
            scheduler: None,
            mapping: None,
            instead: None,
            orphaned: false,
            past: Disturbances::default(),
        })
    }

    /// The stream's format.
    pub(super) fn format(&self) -> AudioFormat {
        self.decoder.format()
    }

    /// Goes on in another format of the same rate. What is buffered is decoded already and stays.
    pub(super) fn set_format(&mut self, format: AudioFormat) -> Result<(), DecodeError> {
        self.decoder = Decoder::new(format)?;
        Ok(())
    }

    /// The server's clock is known (better).
    pub(super) fn set_mapping(&mut self, mapping: ServerMapping) {
        self.mapping = Some(mapping);
    }

    /// The server's clock is not known any more: nothing is scheduled until it is.
    pub(super) fn forget_mapping(&mut self) {
        self.mapping = None;
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.reset();
        }
    }

    /// The output is gone, and with it what was handed out.
    pub(super) fn forget_output(&mut self) {
        if let Some(scheduler) = self.scheduler.take() {
            self.past.jumps += scheduler.disturbances().jumps;
            self.past.underruns += scheduler.disturbances().underruns;
        }
    }

    /// Lets chirps sound in its place, or itself again, from the next block on.
    pub(super) fn play_instead(&mut self, sweep: Option<Sweep>) {
        self.instead = sweep;
    }

    /// The sound was moved on purpose.
    pub(super) fn expect_jump(&mut self) {
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.expect_jump();
        }
    }

    /// Whether enough is known of the stream to let another one go for it.
    pub(super) fn can_take_over(&self) -> bool {
        self.mapping.is_some() && self.timeline.is_some()
    }

    /// The connection is gone: what is buffered plays on, nothing more comes.
    pub(super) fn orphan(&mut self) {
        self.orphaned = true;
    }

    /// Frames from the beginning of this stream to that of `next`, which a new connection feeds, if that is the
    /// same sound on the same clock. `None` if it is something else, or if that is not known yet.
    pub(super) fn distance_to(&self, next: &Self, client_us: f64) -> Option<i64> {
        let (ours, theirs) = (self.mapping?, next.mapping?);
        let apart_us = (ours.to_remote_us(client_us) - theirs.to_remote_us(client_us)).abs();
        let same_rate = self.format().sample_rate == next.format().sample_rate;
        let distance = self.timeline?.frame_at(next.timeline?.start()).0;
        (apart_us <= SAME_CLOCK_US && same_rate && self.buffer.agrees_with(&next.buffer, distance))
            .then_some(distance)
    }

    /// Goes on with what a new connection feeds, `distance` frames after the beginning of this stream. Nothing is
    /// heard of it.
    pub(super) fn continue_with(&mut self, next: Self, distance: i64) {
        self.buffer.absorb(next.buffer, distance);
        self.decoder = next.decoder;
        self.mapping = next.mapping;
        self.orphaned = false;
    }

    /// Whether its connection is gone.
    pub(super) fn is_orphaned(&self) -> bool {
        self.orphaned
    }

    /// Forgets all audio; the next chunk begins anew.
    pub(super) fn clear(&mut self) {
        self.timeline = None;
        self.buffer = JitterBuffer::new(BUFFER_S_MAX * self.format().sample_rate as usize);
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.reset();
        }
    }

    /// Takes a chunk's audio, due at `play_at`.
    pub(super) fn handle_chunk(
        &mut self,
        play_at: ServerTime,
        audio: &[u8],
    ) -> Result<Chunk, DecodeError> {
        let pcm = self.decoder.decode(audio)?;
        let rate_hz = self.format().sample_rate;
        let timeline = *self.timeline.get_or_insert_with(|| Timeline::new(play_at, rate_hz));
        let first = timeline.frame_at(play_at);
        let end = first.0.saturating_add(pcm.len() as i64);
        let read = self.scheduler.as_ref().and_then(Scheduler::read_until);
        if read.is_some_and(|position| (end as f64) < position) {
            return Ok(Chunk::Late);
        }
        if self.mapping.is_none() {
            // Nothing tells what is over by now, as after a sleep: the latest audio is what will be heard.
            let kept = (BUFFER_S_MAX / 2) as i64 * i64::from(rate_hz);
            self.buffer.discard_before(FrameIndex(end.saturating_sub(kept)));
        }
        Ok(match self.buffer.insert(first, &pcm) {
            Inserted::Stored | Inserted::Duplicate => Chunk::Accepted,
            Inserted::Full => Chunk::Overflow,
        })
    }

    /// The next block within `window`.
    pub(super) fn next_block(
        &mut self,
        output: &OutputClock,
        static_delay: ServerSpan,
        window: Window,
    ) -> Option<Block> {
        let (server, timeline) = (self.mapping?, self.timeline?);
        let clock = PlayoutClock { server, output, timeline, static_delay };
        let (stream_hz, output_hz) = (timeline.rate_hz(), output.rate_hz());
        let scheduler = self.scheduler.get_or_insert_with(|| Scheduler::new(stream_hz, output_hz));
        scheduler.play_instead(self.instead.map(|sweep| Chirps { sweep, timeline }));
        scheduler.next_block(&mut self.buffer, &clock, window)
    }

    /// Heard minus due at `client_us`, µs; positive is late. `None` while silent.
    pub(super) fn sync_error_us(
        &self,
        output: &OutputClock,
        static_delay: ServerSpan,
        client_us: f64,
    ) -> Option<f64> {
        let (server, timeline) = (self.mapping?, self.timeline?);
        let clock = PlayoutClock { server, output, timeline, static_delay };
        let frame = output.heard_frame(client_us)?;
        let heard = self.scheduler.as_ref()?.position_on(frame)?;
        Some((clock.due_at(frame)? - heard) * 1e6 / f64::from(timeline.rate_hz()))
    }

    /// Whether sound is on the output's frame.
    pub(super) fn sounds_on(&self, frame: f64) -> bool {
        self.scheduler.as_ref().is_some_and(|scheduler| scheduler.position_on(frame).is_some())
    }

    /// How much faster the server's clock runs than the output's, ppm.
    pub(super) fn drift_ppm(&self, output: &OutputClock) -> Option<f64> {
        Some(self.mapping?.drift() * 1e6 - output.drift_ppm())
    }

    /// Audio that is due after `client_us`, milliseconds.
    pub(super) fn buffered_ms(&self, client_us: f64) -> f64 {
        let (Some(mapping), Some(timeline), Some(end)) =
            (self.mapping, self.timeline, self.buffer.end())
        else {
            return 0.0;
        };
        let end_us = end as f64 * 1e6 / f64::from(timeline.rate_hz());
        let now_us = mapping.to_remote_us(client_us) - timeline.start().as_micros() as f64;
        ((end_us - now_us) / 1e3).max(0.0)
    }

    /// What a listener might have heard.
    pub(super) fn disturbances(&self) -> Disturbances {
        let now = self.scheduler.as_ref().map(Scheduler::disturbances).unwrap_or_default();
        Disturbances {
            jumps: self.past.jumps + now.jumps,
            underruns: self.past.underruns + now.underruns,
        }
    }
}
