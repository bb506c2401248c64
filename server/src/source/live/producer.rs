//! The thread that fetches a stream, decodes it, and tries again when it breaks off.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use super::backoff::Backoff;
use super::held::Piece;
use super::http;
use super::process::{self, Program};
use super::raw::{Raw, SourceFormat};
use super::shared::{Leash, Shared, Stop};
use super::tap::Tap;
use super::titles::{Titles, station_of, track_of};
use super::trouble::{Trouble, of_fault};
use super::{Incoming, Input, Kind};
use crate::source::file::{Block, Pass};
use crate::source::resample::Resampler;
use crate::source::track::Track;
use crate::source::{Fault, RATE_HZ};

/// Who fetches.
pub(super) struct Producer {
    pub(super) input: Input,
    pub(super) name: String,
    /// What the bytes are if they are no file.
    pub(super) format: Option<SourceFormat>,
    pub(super) shared: Arc<Shared>,
}

/// An attempt to play it.
struct Attempt<'a> {
    producer: &'a Producer,
    kind: Kind,
    station: String,
    titles: Titles,
    track: Arc<Track>,
    resampler: Option<Resampler>,
    /// The next piece does not go on where the last one ended.
    is_fresh: bool,
    has_sound: bool,
    /// What runs for it, and what was wrong without it.
    program: Option<Program>,
    transcoded: Option<String>,
}

impl Producer {
    /// Fetches until the stream is over or nobody plays it any more.
    pub(super) fn run(&self) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let mut attempt = Attempt::new(self);
            let stop = attempt.play();
            let (kind, has_sound) = (attempt.kind, attempt.has_sound);
            let stop = stop.and_then(|()| attempt.finish());
            drop(attempt.program.take().map(|mut program| program.end()));
            self.shared.hold(None);
            let next = match stop {
                Err(Stop::Closed) => return,
                Err(Stop::Rest) => self.shared.rest(),
                _ if kind == Kind::Whole => return self.shared.end(stop.err().and_then(fault_of)),
                Err(Stop::Fault(fault)) => {
                    if self.shared.state().may_be_refused() && is_lasting(&fault) {
                        return self.shared.end(Some(fault));
                    }
                    let pause = backoff.after(began.elapsed());
                    warn!("{}: {fault}; trying again in {:.1} s", self.name, pause.as_secs_f64());
                    self.shared.pause(pause)
                }
                // A writer has left a pipe, and another one may come.
                Ok(()) if has_sound => Ok(()),
                Ok(()) => {
                    warn!("{}: {}; waiting for the next writer", self.name, Trouble::Nothing);
                    self.shared.pause(backoff.after(Duration::ZERO))
                }
            };
            if next.is_err() {
                return;
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

fn fault_of(stop: Stop) -> Option<Fault> {
    match stop {
        Stop::Fault(fault) => Some(fault),
        Stop::Closed | Stop::Rest => None,
    }
}

fn is_lasting(fault: &Fault) -> bool {
    match fault {
        Fault::Live(trouble) => trouble.is_lasting(),
        _ => true,
    }
}

/// What turns bytes into samples.
enum Decoder {
    Raw(Raw),
    Media(Box<Pass>),
}

impl<'a> Attempt<'a> {
    fn new(producer: &'a Producer) -> Self {
        Self {
            producer,
            kind: match producer.input {
                Input::Stdin | Input::File(..) => Kind::Whole,
                _ => Kind::Endless,
            },
            station: producer.input.label().to_owned(),
            titles: Titles::default(),
            track: Arc::default(),
            resampler: None,
            is_fresh: true,
            has_sound: false,
            program: None,
            transcoded: None,
        }
    }

    fn play(&mut self) -> Result<(), Stop> {
        let mut decoder = self.open()?;
        loop {
            let block = match &mut decoder {
                Decoder::Raw(raw) => raw.next_block().map_err(Trouble::Lost)?,
                Decoder::Media(pass) => pass.next_block().map_err(of_fault)?,
            };
            let Some(block) = block else { break };
            if let Some(title) = self.titles.take() {
                self.track = Arc::new(track_of(&title, &self.station));
            } else if let Decoder::Media(pass) = &mut decoder {
                let mut track = Track::clone(&self.track);
                pass.read_news(&mut track);
                if track != *self.track {
                    self.track = Arc::new(track);
                }
            }
            self.give(&block)?;
        }
        self.flush()
    }

    /// Judges the end of what was played.
    fn finish(&mut self) -> Result<(), Stop> {
        if let Some(fault) = self.transcoded.take()
            && !self.has_sound
        {
            return Err(Trouble::Unknown(fault).into());
        }
        let is_first = !self.producer.shared.state().has_begun;
        match &self.producer.input {
            Input::Exec(_) => {
                let status = self.program.take().map(|mut program| program.end());
                let status = status.unwrap_or_else(|| "no status".to_owned());
                let exit =
                    if is_first { Trouble::Soundless(status) } else { Trouble::Exited(status) };
                Err(exit.into())
            }
            Input::Fifo(_) => Ok(()),
            Input::Http(_) if self.kind == Kind::Endless => Err(Trouble::Ended.into()),
            _ if self.has_sound => Ok(()),
            _ => Err(Trouble::Nothing.into()),
        }
    }

    /// Gets at the bytes, and finds out what they are.
    fn open(&mut self) -> Result<Decoder, Stop> {
        let shared = &self.producer.shared;
        let bytes: Box<dyn Read + Send> = match &self.producer.input {
            Input::Http(address) => {
                let hold = |stream| shared.hold(Some(Leash::Socket(stream)));
                let incoming = http::fetch(address, hold)?;
                return self.open_http(incoming);
            }
            Input::Stdin => Box::new(io::stdin()),
            // Waits for a writer.
            Input::Fifo(path) => Box::new(File::open(path).map_err(Trouble::Pipe)?),
            Input::Exec(words) => {
                let (program, output) = Program::start(words, Stdio::null(), true)?;
                shared.hold(Some(Leash::Program(program.group)));
                self.program = Some(program);
                Box::new(output)
            }
            Input::File(path, fault) => {
                shared.state().held.is_file = true;
                self.station = Track::from_path(path).title;
                let (program, output, _) = process::ffmpeg(&process::Input::File(path), fault)?;
                return Ok(self.transcode(program, output, fault.clone()));
            }
        };
        if let Some(format) = self.producer.format {
            self.name_track();
            return Ok(Decoder::Raw(Raw::new(bytes, format)));
        }
        self.probe(bytes)
    }

    fn open_http(&mut self, incoming: Incoming) -> Result<Decoder, Stop> {
        let Incoming { bytes, kind, station, titles, is_he_aac } = incoming;
        (self.kind, self.station, self.titles) = (kind, station, titles);
        self.producer.shared.state().held.is_file = kind == Kind::Whole;
        if is_he_aac {
            let tap = Tap::new(bytes);
            match self.pipe_through(&tap, "it is HE-AAC".to_owned()) {
                Err(Stop::Fault(Fault::Live(Trouble::NoFfmpeg(_)))) => {
                    warn!(
                        "{}: HE-AAC sounds dull without `ffmpeg`, which is not installed",
                        self.producer.name
                    );
                    return self.probe(tap.into_inner());
                }
                piped => return piped,
            }
        }
        self.probe(bytes)
    }

    fn probe(&mut self, bytes: Box<dyn Read + Send>) -> Result<Decoder, Stop> {
        let tap = Tap::new(bytes);
        match Pass::over(Box::new(tap.clone())) {
            Ok(mut pass) => {
                tap.forget();
                let mut track = station_of(&self.station);
                pass.read_tags(&mut track);
                track.duration_ms = track.duration_ms.filter(|_| self.kind == Kind::Whole);
                self.track = Arc::new(track);
                Ok(Decoder::Media(Box::new(pass)))
            }
            Err(fault) => {
                if let Some(error) = tap.take_error() {
                    return Err(Trouble::Lost(error).into());
                }
                if tap.is_empty() {
                    // The end of an empty stream: judged there.
                    return Ok(Decoder::Raw(Raw::new(
                        Box::new(io::empty()),
                        SourceFormat::TRANSCODED,
                    )));
                }
                if tap.is_foreign(&fault) {
                    return self.pipe_through(&tap, fault.to_string());
                }
                Err(of_fault(fault).into())
            }
        }
    }

    /// Has ffmpeg play what was read so far and what comes.
    fn pipe_through(&mut self, tap: &Tap, fault: String) -> Result<Decoder, Stop> {
        let (program, output, input) = process::ffmpeg(&process::Input::Pipe, &fault)?;
        let Some((begun, mut bytes)) = tap.take_all() else {
            return Err(Trouble::Unknown(fault).into());
        };
        if let Some(mut input) = input {
            let feed = move || {
                // Errors of either side end it, and the reader of the other end sees that.
                if input.write_all(&begun).is_ok() {
                    let _ = io::copy(&mut bytes, &mut input);
                }
            };
            thread::Builder::new()
                .name("ffmpeg-in".to_owned())
                .spawn(feed)
                .map_err(Trouble::Start)?;
        }
        Ok(self.transcode(program, output, fault))
    }

    fn transcode(
        &mut self,
        program: Program,
        output: impl Read + Send + 'static,
        fault: String,
    ) -> Decoder {
        if !matches!(self.producer.input, Input::Http(_)) {
            self.producer.shared.hold(Some(Leash::Program(program.group)));
        }
        // What a command writes is read by another one: both end together.
        if let Some(mut before) = self.program.replace(program) {
            thread::spawn(move || before.end());
        }
        self.transcoded = Some(fault);
        self.name_track();
        Decoder::Raw(Raw::new(Box::new(output), SourceFormat::TRANSCODED))
    }

    fn name_track(&mut self) {
        self.track = Arc::new(station_of(&self.station));
    }

    fn give(&mut self, block: &Block) -> Result<(), Stop> {
        if self.resampler.as_ref().is_some_and(|resampler| resampler.rate_hz() != block.rate_hz) {
            self.flush()?;
        }
        if block.rate_hz == RATE_HZ {
            return self.push(block.samples.clone(), block.resolution_bits);
        }
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(Resampler::new(block.rate_hz)?),
        };
        let mut samples = Vec::new();
        resampler.push(&block.samples, &mut samples)?;
        self.push(samples, 24)
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let Some(mut resampler) = self.resampler.take() else {
            return Ok(());
        };
        let mut samples = Vec::new();
        resampler.flush(&mut samples)?;
        self.push(samples, 24)
    }

    fn push(&mut self, samples: Vec<f32>, resolution_bits: u32) -> Result<(), Stop> {
        if samples.is_empty() {
            return Ok(());
        }
        self.has_sound = true;
        let piece = Piece { samples, resolution_bits, track: Arc::clone(&self.track) };
        let may_rest = self.kind == Kind::Endless && matches!(self.producer.input, Input::Http(_));
        let is_fresh = std::mem::take(&mut self.is_fresh);
        self.producer.shared.push(piece, is_fresh, may_rest)
    }
}
