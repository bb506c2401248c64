//! The server of the simulated world: the real party core on a made-up clock, playing a track whose every
//! frame tells where it comes from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use protocol::time::ServerTime;
use server::sans_io::{Ask, Connection, House, Next, Party, Say};
use server::source::{Pcm, RATE_HZ, Read, Run, Source, SourceError, Track};

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
    /// A server that starts with its clock as it is. With an `instance`, edges may follow.
    pub(super) fn new(clock: SimClock, instance: Option<u64>) -> Self {
        let samples = (0..LOOP_FRAMES).flat_map(|n| quantized(n as f64 / f64::from(RATE_HZ)));
        let track = Track { title: "Rotation".to_owned(), ..Track::default() };
        let source = Rotation {
            at: 0,
            samples: samples.collect(),
            run: Run { track: Arc::new(track), ..Run::default() },
        };
        let source = Box::new(source);
        let party = match instance {
            Some(instance) => Party::with_edges("simulated", source, instance),
            None => Party::new("simulated", source),
        };
        Self { clock, party }
    }

    /// The server's clock at a true time.
    pub(super) fn now(&self, true_us: f64) -> ServerTime {
        ServerTime::from_micros(self.clock.read(true_us))
    }

    /// The same in fractions of a microsecond.
    pub(super) fn now_us(&self, true_us: f64) -> f64 {
        self.clock.at(true_us)
    }

    /// What it says to what an edge asks.
    pub(super) fn answer(&mut self, true_us: f64, edge: &str, ask: &Ask) -> Vec<Say> {
        self.party.answer(self.now(true_us), edge, ask)
    }

    /// What it says to edges unasked.
    pub(super) fn push(&mut self, true_us: f64) -> Vec<(String, Say)> {
        self.party.push(self.now(true_us))
    }

    pub(super) fn house(&self) -> House<'_> {
        self.party.house()
    }

    /// The true time at which its clock shows `at`.
    pub(super) fn when(&self, at: ServerTime) -> f64 {
        self.clock.when(at.as_micros() as f64 + 1.0)
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
}

/// Hands everything that `connection` has to send at `now` to `send`. Returns when there is more, if that is known.
pub(super) fn poll(
    connection: &mut Connection,
    now: ServerTime,
    house: House<'_>,
    mut send: impl FnMut(Message),
) -> Option<ServerTime> {
    loop {
        match connection.poll(now, house) {
            Next::Text(text) => send(Message::Text(text)),
            Next::Binary(bytes) => send(Message::Binary(bytes)),
            Next::Close(code, reason) => {
                send(Message::Close(code, reason));
                return None;
            }
            Next::Wait(until) => return until,
        }
    }
}

/// A track without end.
struct Rotation {
    at: i64,
    samples: Vec<f32>,
    run: Run,
}

impl Source for Rotation {
    fn read(&mut self, _ahead: Duration) -> Result<Read, SourceError> {
        let frames = self.at..self.at + READ_FRAMES;
        self.at = frames.end;
        let sample =
            |frame: i64, channel| self.samples[(frame % LOOP_FRAMES * 2) as usize + channel];
        let samples = frames.flat_map(|frame| [sample(frame, 0), sample(frame, 1)]).collect();
        Ok(Read::Pcm(Pcm { samples, resolution_bits: 16 }))
    }

    fn run(&self) -> &Run {
        &self.run
    }
}

/// The track as a 16-bit file holds it.
fn quantized(position_s: f64) -> [f32; 2] {
    track(position_s).map(|sample| (sample * 32_768.0).round() / 32_768.0)
}
