//! The server of the simulated world: the real party core on a made-up clock, playing a track whose every
//! frame tells where it comes from.

use std::fmt;

use protocol::time::ServerTime;
use server::sans_io::{Connection, Next, Party};
use server::source::{Pcm, RATE_HZ, Source, SourceError, Track};

use super::clock::SimClock;
use super::seat::Message;
use super::speaker::track;

/// Frames that the source hands out at a time: no multiple of a chunk.
const READ_FRAMES: i64 = 4_097;
/// Frames of the track before it repeats: whole turns of its rotation.
const LOOP_FRAMES: i64 = RATE_HZ as i64;

/// The server.
pub(super) struct Origin {
    clock: SimClock,
    party: Party,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Origin {
    /// A server that starts with its clock as it is.
    pub(super) fn new(clock: SimClock) -> Self {
        let samples = (0..LOOP_FRAMES).flat_map(|n| quantized(n as f64 / f64::from(RATE_HZ)));
        let source = Rotation {
            at: 0,
            samples: samples.collect(),
            track: Track { title: "Rotation".to_owned(), ..Track::default() },
        };
        Self { clock, party: Party::new("simulated", Box::new(source)) }
    }

    /// The server's clock at a true time.
    pub(super) fn now(&self, true_us: f64) -> ServerTime {
        ServerTime::from_micros(self.clock.read(true_us))
    }

    /// Makes audio up to the lead.
    pub(super) fn advance(&mut self, true_us: f64) {
        self.party.advance(self.now(true_us));
    }

    /// The position in seconds that must be heard at a true time; `None` before there is audio.
    pub(super) fn due_s(&self, true_us: f64) -> Option<f64> {
        Some((self.clock.at(true_us) - self.party.begins()?.as_micros() as f64) * 1e-6)
    }

    /// A new connection.
    pub(super) fn accept(&self, true_us: f64) -> Connection {
        self.party.accept(self.now(true_us))
    }

    /// Hands everything that is due to `send`. Returns the true time at which there is more, if known.
    pub(super) fn poll(
        &self,
        connection: &mut Connection,
        true_us: f64,
        mut send: impl FnMut(Message),
    ) -> Option<f64> {
        let now = self.now(true_us);
        loop {
            match connection.poll(now, &self.party) {
                Next::Text(text) => send(Message::Text(text)),
                Next::Binary(bytes) => send(Message::Binary(bytes)),
                Next::Close(code, reason) => {
                    send(Message::Close(code, reason));
                    return None;
                }
                Next::Wait(until) => {
                    return until.map(|until| self.clock.when(until.as_micros() as f64 + 1.0));
                }
            }
        }
    }
}

/// A track without end.
struct Rotation {
    at: i64,
    samples: Vec<f32>,
    track: Track,
}

impl Source for Rotation {
    fn read(&mut self) -> Result<Option<Pcm>, SourceError> {
        let frames = self.at..self.at + READ_FRAMES;
        self.at = frames.end;
        let sample =
            |frame: i64, channel| self.samples[(frame % LOOP_FRAMES * 2) as usize + channel];
        let samples = frames.flat_map(|frame| [sample(frame, 0), sample(frame, 1)]).collect();
        Ok(Some(Pcm { samples, resolution_bits: 16 }))
    }

    fn track(&self) -> &Track {
        &self.track
    }
}

/// The track as a 16-bit file holds it.
fn quantized(position_s: f64) -> [f32; 2] {
    track(position_s).map(|sample| (sample * 32_768.0).round() / 32_768.0)
}
