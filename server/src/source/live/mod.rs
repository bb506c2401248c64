//! Streams: what comes as it is made, or from far away, and cannot be gone back in.
//!
//! A thread for each stream fetches and decodes it into a bounded store (`producer`, `shared`); who plays takes from there
//! and never waits (`flow`). A sender that is faster than real time is held back by the full store, through pipe or
//! connection, and comes through bit for bit. The clock of a live one is followed. What breaks off is asked for again, and
//! the party hears silence meanwhile.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tracing::warn;

use self::flow::Flow;
use self::http::Address;
use self::producer::Producer;
pub use self::raw::{FormatError, SourceFormat};
use self::shared::Shared;
pub use self::trouble::Trouble;
use super::file::Block;
use super::item::Piece;
use super::track::Track;
use super::{Fault, RATE_HZ};

mod backoff;
mod flow;
mod follow;
mod head;
mod held;
mod http;
mod icy;
mod process;
mod producer;
mod raw;
mod shared;
mod tap;
mod titles;
mod trouble;
mod varispeed;

#[cfg(test)]
mod tests;

/// How streams are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// What standard input, pipes and commands give, if they give no audio file.
    pub format: Option<SourceFormat>,
    /// How much of a live source is in hand when it begins to play, and stays in hand.
    pub lead: Duration,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { format: None, lead: Duration::from_secs(1) }
    }
}

/// How much more than the lead is held of a stream that is not taken: so much can come at once from a live sender without
/// looking like one that is held back.
const ROOM: Duration = Duration::from_secs(1);

/// Who has not been asked for so long has old sound in hand.
const STALE: Duration = Duration::from_secs(2);

/// How long an entry of a list may give nothing from its beginning on, before the next one has its turn. Longer than what is
/// in hand, so that a slow server is not passed over because the list is read ahead.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// How long it is waited for a file in a list that only ffmpeg may know: less than what is in hand when its turn comes.
const LISTED_FILE_WITHIN: Duration = Duration::from_millis(700);

/// How long a program may take to end at the end.
const END_WITHIN: Duration = Duration::from_millis(700);

/// Where a stream comes from.
#[derive(Clone)]
pub(super) enum Input {
    /// A web server.
    Http(Address),
    /// Standard input.
    Stdin,
    /// A named pipe, to which writers come and go.
    Fifo(PathBuf),
    /// A program and its arguments.
    Exec(Vec<String>),
    /// A file that only ffmpeg may be able to read, and what is wrong without it.
    File(PathBuf, String),
}

impl Input {
    /// The address `text`.
    ///
    /// # Errors
    ///
    /// [`Trouble::Address`].
    pub(super) fn http(text: &str) -> Result<Self, Fault> {
        Ok(Self::Http(Address::parse(text)?))
    }

    /// The file at `path` as ffmpeg plays it, if it may know what gave us `fault`.
    ///
    /// # Errors
    ///
    /// The `fault`, if it may not.
    pub(super) fn foreign(path: &Path, fault: Fault) -> Result<Self, Fault> {
        let mut begins = [0; 8];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut begins));
        if read.is_ok() && process::is_foreign(&begins, &fault) {
            return Ok(Self::File(path.to_owned(), fault.to_string()));
        }
        Err(fault)
    }

    /// The command `text`.
    ///
    /// # Errors
    ///
    /// [`Trouble::Command`].
    pub(super) fn exec(text: &str) -> Result<Self, Fault> {
        Ok(Self::Exec(process::words(text)?))
    }

    /// How long the start of the server waits to see whether it plays.
    fn patience(&self) -> Duration {
        match self {
            Self::Http(_) => Duration::from_secs(12),
            Self::Exec(_) | Self::File(..) => Duration::from_secs(5),
            // Nobody may have written yet, and nobody has to.
            Self::Stdin | Self::Fifo(_) => Duration::from_millis(300),
        }
    }

    /// What guests are told: no path of this machine and no command, which may hold a password.
    fn label(&self) -> &str {
        match self {
            Self::Http(address) => address.host(),
            _ => "Live",
        }
    }
}

/// Bytes that come from a web server.
struct Incoming {
    bytes: Box<dyn Read + Send>,
    kind: Kind,
    station: String,
    titles: titles::Titles,
    is_he_aac: bool,
}

/// Whether it has an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It has, and that is the end of the track.
    Whole,
    /// An end is a fault.
    Endless,
}

/// A stream that is being fetched.
pub(super) struct Stream {
    input: Input,
    name: String,
    options: LiveOptions,
    shared: Arc<Shared>,
    flow: Flow,
    begun: Instant,
    asked: Option<Instant>,
    track: Arc<Track>,
    reader: Option<Thread>,
    /// A list names it: it does not have to play.
    is_listed: bool,
}

impl Stream {
    /// Begins to fetch `input`, which is called `name`, and waits a little to see whether it plays.
    ///
    /// # Errors
    ///
    /// A [`Fault`] that a person has to do something about.
    pub(super) fn open(input: Input, name: String, options: LiveOptions) -> Result<Self, Fault> {
        let stream = Self::begin(input, name, options)?;
        if !stream.shared.wait_for_news(stream.input.patience()) {
            warn!("{}: nothing has come yet; the party begins with silence", stream.name);
        }
        stream.see()
    }

    /// Begins to fetch what a list names, and does not wait for what is far away: the party goes on meanwhile.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when it cannot be played, as far as that is known by then.
    pub(super) fn open_listed(
        input: Input,
        name: String,
        options: LiveOptions,
    ) -> Result<Self, Fault> {
        let is_near = matches!(input, Input::File(..));
        let mut stream = Self::begin(input, name, options)?;
        stream.is_listed = true;
        if is_near {
            stream.shared.wait_for_news(LISTED_FILE_WITHIN);
        }
        stream.see()
    }

    fn begin(input: Input, name: String, options: LiveOptions) -> Result<Self, Fault> {
        let shared = fetch(&input, &name, options, None)?;
        let track = Arc::new(titles::station_of(input.label()));
        Ok(Self {
            flow: Flow::new(options.lead),
            begun: Instant::now(),
            asked: None,
            reader: None,
            input,
            name,
            options,
            shared,
            track,
            is_listed: false,
        })
    }

    /// Takes over what is known by now.
    fn see(mut self) -> Result<Self, Fault> {
        let mut state = self.shared.state();
        if !state.has_begun
            && let Some(fault) = state.fault.take()
        {
            return Err(fault);
        }
        // What a list names is passed over if it does not play.
        state.is_accepted = !self.is_listed;
        let track = state.held.track().cloned();
        drop(state);
        if let Some(track) = track {
            self.track = track;
        }
        Ok(self)
    }

    /// What is played.
    pub(super) fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Whether it has ended for good: standard input cannot be had again.
    pub(super) fn is_over(&self) -> bool {
        let state = self.shared.state();
        matches!(self.input, Input::Stdin) && state.held.ended && state.held.frames() == 0
    }

    /// Begins again if it has ended.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when there is no thread for it.
    pub(super) fn rewind(&mut self) -> Result<(), Fault> {
        let has_ended = self.asked.is_some() && self.shared.state().held.ended;
        if has_ended && !matches!(self.input, Input::Stdin) {
            self.shared = fetch(&self.input, &self.name, self.options, self.reader.clone())?;
            self.flow = Flow::new(self.options.lead);
            self.asked = None;
        }
        Ok(())
    }

    /// Names the thread to unpark when something comes.
    pub(super) fn wake(&mut self, reader: &Thread) {
        self.shared.state().reader = Some(reader.clone());
        self.reader = Some(reader.clone());
    }

    /// The next samples, at [`RATE_HZ`]. What was given before lasts for `ahead`.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when it is over and should not be.
    pub(super) fn next_piece(&mut self, ahead: Duration) -> Result<Piece, Fault> {
        let now = Instant::now();
        let mut state = self.shared.state();
        let is_stale = self.asked.is_some_and(|asked| now - asked > STALE);
        if is_stale && self.flow.is_live() {
            state.held.clear();
            self.flow.begin_again();
        }
        self.asked = Some(now);
        let piece = self.flow.read(now - self.begun, ahead, &mut state.held);
        self.shared.want(&mut state);
        match piece {
            Some(piece) => {
                self.track = piece.track;
                let (samples, resolution_bits) = (piece.samples, piece.resolution_bits);
                Ok(Piece::Block(Block { samples, rate_hz: RATE_HZ, resolution_bits }))
            }
            None if state.held.ended => state.fault.take().map_or(Ok(Piece::End), Err),
            None if self.is_listed && !state.has_begun && now - self.begun > BEGINS_WITHIN => {
                Err(state.fault.take().unwrap_or(Trouble::Nothing.into()))
            }
            None => Ok(Piece::NotYet),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.close(END_WITHIN);
    }
}

/// What an address on the web is called before anything has come from it.
pub(super) fn title_of(address: &str) -> String {
    Address::parse(address).map_or_else(|_| "Live".to_owned(), |address| address.file())
}

/// Starts the thread that fetches `input`.
fn fetch(
    input: &Input,
    name: &str,
    options: LiveOptions,
    reader: Option<Thread>,
) -> Result<Arc<Shared>, Fault> {
    let room = (options.lead + ROOM).as_secs_f64() * f64::from(RATE_HZ);
    let shared = Arc::new(Shared::new(room as usize, reader));
    let producer = Producer {
        input: input.clone(),
        name: name.to_owned(),
        format: options.format,
        shared: Arc::clone(&shared),
    };
    let thread = thread::Builder::new().name("stream".to_owned());
    thread.spawn(move || producer.run()).map_err(Trouble::Start)?;
    Ok(shared)
}
