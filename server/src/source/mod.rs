//! Turns what `--source` names into one stream of stereo samples at the party's rate.
//!
//! [`open`] checks every source before it returns, so that a wrong one is a clear line at the start and
//! not a silent party later. Behind the [`Source`] it hands out, tracks follow each other without a gap:
//! the resampler runs through the joins, and so does a looped list through its end.
//!
//! Here: files, folders and playlists, the built-in demo and metronome, channel layout, sample rate, loudness.
//! Not here: pacing, dither, chunks and timestamps (`pipeline`). Nothing in this folder waits for
//! anything but the disk.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use protocol::message::Repeat;
use serde::{Deserialize, Serialize};

pub(crate) mod cover;
mod demo;
mod directory;
mod downmix;
mod file;
mod gain;
mod gapless;
mod item;
mod list;
mod live;
mod meter;
mod metronome;
mod natural;
mod output;
mod picture_id;
mod playlist;
mod queue;
mod random;
mod resample;
mod sequence;
mod shared_file;
mod spec;
mod track;
mod vorbis_setup;

#[cfg(test)]
mod tests;

pub use live::{FormatError, LiveOptions, SourceFormat, Trouble};
pub use picture_id::{NoPictureId, PictureId};
pub use spec::{SourceSpec, SpecError};
pub use track::Track;

/// The party's one sample rate, in Hz. Whatever a file was made at, this is what leaves a [`Source`].
pub const RATE_HZ: u32 = 48_000;

/// Channels of every stream: left, right.
pub const CHANNELS: usize = 2;

/// Most frames one [`Pcm`] holds, 85 ms. Small enough that the pump never works through a long block
/// while listeners wait, large enough that handing blocks over costs nothing.
pub const PCM_FRAMES_MAX: usize = 4096;

/// Who has nothing to give when what was read before lasts for less than this gets silence put in its place. It covers the
/// time in which a chunk is made and stamped, and reaches every listener.
pub const DRY: Duration = Duration::from_millis(400);

/// Stereo samples at [`RATE_HZ`].
#[derive(Clone, Debug, PartialEq)]
pub struct Pcm {
    /// Left and right in turn, so there are twice as many as frames: at least one frame and at most
    /// [`PCM_FRAMES_MAX`]. Full scale is ±1.0. Every sample is finite; processed ones can exceed full
    /// scale, because the wave between two samples may be higher than either.
    pub samples: Vec<f32>,
    /// Bits per sample that carry information. 16: each sample is exactly `n / 32768` as it stands in
    /// the file, so a 16-bit format can carry it untouched. 24: anything finer or processed.
    pub resolution_bits: u32,
}

/// What a [`Source::read`] gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// The next samples.
    Pcm(Pcm),
    /// Nothing is there yet: who waits for others, as a live source does, has to be asked again. At once if
    /// [`Source::run`] has changed: then something is there.
    NotYet,
    /// The music has ended. It stays so until a [`Source::jump`] succeeds.
    End,
}

/// A stretch of one track, from where it begins to where something else does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Counts the runs of a source. The same track once more is another run, as is what follows a jump.
    pub number: u64,
    /// What is played.
    pub track: Arc<Track>,
    /// Position in the track at which the run begins, milliseconds.
    pub from_ms: u64,
}

/// A change of what is played, as a person sees it: from what is *heard*, which was read seconds ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// To the track after that of this run.
    Next {
        /// [`Run::number`] of what is heard.
        heard: u64,
    },
    /// To the track before that of this run; to the same from its beginning if there is none.
    Previous {
        /// [`Run::number`] of what is heard.
        heard: u64,
    },
    /// To another position in the track of this run. Also what a party does that goes on after a pause.
    Seek {
        /// [`Run::number`] of what is heard.
        heard: u64,
        /// Milliseconds from the beginning. Past the end, it is the end.
        position_ms: u64,
    },
    /// To an entry of [`Source::next_up`].
    Entry {
        /// [`Upcoming::id`].
        id: u64,
    },
}

/// What can be asked of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// There is another track to go to.
    pub skip: bool,
    /// Positions in the present track can be gone to.
    pub seek: bool,
    /// There is a list, which can be repeated and shuffled.
    pub order: bool,
}

/// In which order a list is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What comes after the last track, or after each.
    pub repeat: Repeat,
    /// Whether the order is random.
    pub shuffle: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { repeat: Repeat::Off, shuffle: false }
    }
}

/// A track that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcoming {
    /// Names the entry as long as it is in the list.
    pub id: u64,
    /// What is played then.
    pub track: Arc<Track>,
}

/// An opened, checked stream of music.
pub trait Source: Send {
    /// The next samples. What was read before lasts for `ahead` from now, by which a live source steers.
    ///
    /// Blocks for decoding only. A damaged stretch of a file is left out and a track that fails is
    /// passed over, each with a warning in the log.
    ///
    /// # Errors
    ///
    /// Only when nothing can be played any more. Every call after that returns [`Read::End`].
    fn read(&mut self, ahead: Duration) -> Result<Read, SourceError>;

    /// The run whose frames the next [`Source::read`] returns; after the end, the last one.
    ///
    /// No [`Pcm`] holds frames of two runs.
    fn run(&self) -> &Run;

    /// What can be asked of it, at present.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// Goes on somewhere else: what is read next is the beginning of a new run. Returns whether it does; if not, nothing
    /// has changed.
    fn jump(&mut self, _jump: Jump) -> bool {
        false
    }

    /// In which order it plays.
    fn order(&self) -> Order {
        Order::default()
    }

    /// Plays in another order from the next track on. Ignored by what has no list.
    fn set_order(&mut self, _order: Order) {}

    /// The tracks after the one that is read, the next one first: [`NEXT_UP_MAX`] at most.
    fn next_up(&self) -> Vec<Upcoming> {
        Vec::new()
    }

    /// Names the thread to unpark when something is there after [`Read::NotYet`]. Called once, before anything is read.
    fn wake(&mut self, _reader: Thread) {}
}

/// Most entries of [`Source::next_up`]: as many as a person looks through.
pub const NEXT_UP_MAX: usize = 50;

/// How a list is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// In which order it begins.
    pub order: Order,
    /// Decides every random order: the same seed gives the same ones.
    pub seed: u64,
    /// Whether what tags say about loudness is followed.
    pub replay_gain: bool,
    /// Whether what has no such tags is measured. That takes time: a track is made louder or softer when its
    /// measure is known before it begins.
    pub normalize: bool,
    /// How streams are read.
    pub live: LiveOptions,
}

impl Default for Options {
    /// Once, in order.
    fn default() -> Self {
        Self {
            order: Order::default(),
            seed: 0,
            replay_gain: true,
            normalize: false,
            live: LiveOptions::default(),
        }
    }
}

impl Options {
    /// In order, with this after the last track.
    pub fn repeating(repeat: Repeat) -> Self {
        Self { order: Order { repeat, shuffle: false }, ..Self::default() }
    }
}

/// Opens everything `specs` names, in order, and decodes the beginning of each. Of folders and playlists, it opens as
/// many entries as it takes to find one that plays.
///
/// With [`Repeat::All`], the list starts over when it has ended, without a gap. Files that are named by themselves are
/// held, so one that is deleted during the party goes on playing.
///
/// # Errors
///
/// The first source that cannot be played, see [`SourceError`]. The message is one line, made to be
/// shown as it is.
pub fn open(specs: &[SourceSpec], options: &Options) -> Result<Box<dyn Source>, SourceError> {
    Ok(Box::new(sequence::Sequence::start(list::gather(specs, options.live)?, options)?))
}

/// Why there is no music. Shows as one line that names the source, what is wrong and what is expected.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The list of sources was empty.
    #[error("nothing to play: name at least one audio file, `demo` or `metronome`")]
    NoSource,
    /// A source cannot be played.
    #[error("cannot play {name}: {fault}")]
    Unplayable {
        /// Path of the file, or the name of the built-in source.
        name: SourceName,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Every source worked at the start, and none does any more.
    #[error("nothing left to play: {name} was the last to fail: {fault}")]
    NothingLeft {
        /// The source that failed last.
        name: SourceName,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// How a source is called in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceName {
    /// The built-in track.
    Demo,
    /// The built-in metronome.
    Metronome,
    /// A file, as the user wrote it.
    File(PathBuf),
    /// A folder, as the user wrote it.
    Directory(PathBuf),
    /// A playlist, as the user wrote it.
    Playlist(PathBuf),
    /// An address on the web.
    Web(String),
    /// Standard input.
    Stdin,
    /// A command, as the user wrote it.
    Command(String),
}

impl From<&SourceSpec> for SourceName {
    fn from(spec: &SourceSpec) -> Self {
        match spec {
            SourceSpec::Demo => Self::Demo,
            SourceSpec::Metronome => Self::Metronome,
            SourceSpec::File(path) | SourceSpec::Fifo(path) => Self::File(path.clone()),
            SourceSpec::Directory(path) => Self::Directory(path.clone()),
            SourceSpec::Playlist(path) => Self::Playlist(path.clone()),
            SourceSpec::Http(address) => Self::Web(address.clone()),
            SourceSpec::Stdin => Self::Stdin,
            SourceSpec::Exec(command) => Self::Command(format!("exec:{command}")),
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("the demo track"),
            Self::Metronome => f.write_str("the metronome"),
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) | Self::Directory(path) | Self::Playlist(path) => {
                on_one_line(f, &path.to_string_lossy())
            }
            // What follows a question mark may be a secret, and this goes into logs.
            Self::Web(address) => match address.split_once('?') {
                Some((place, _)) => on_one_line(f, place).and_then(|()| f.write_str("?…")),
                None => on_one_line(f, address),
            },
            Self::Command(text) => on_one_line(f, text),
        }
    }
}

/// A file name may hold a line break; a message is one line.
fn on_one_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| {
        if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
    })
}

/// What kinds of file can be played, for messages.
const EXPECTED: &str = "expected a FLAC, MP3, M4A/AAC-LC, ALAC, Ogg Vorbis, WAV or AIFF file";

/// What is wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No such file.
    #[error("there is no such file; {EXPECTED}")]
    Missing,
    /// The operating system refuses to open or read it.
    #[error("it cannot be read ({0}); expected a file this user may read")]
    Unreadable(std::io::Error),
    /// It is a directory.
    #[error("it is a directory; {EXPECTED}")]
    Directory,
    /// It is a device, a pipe or a socket.
    #[error("it is not a regular file; {EXPECTED}")]
    Special,
    /// It has no bytes.
    #[error("the file is empty; {EXPECTED}")]
    Empty,
    /// No format we know begins like this, or its header is broken off.
    #[error("not recognised as audio, or broken at its very beginning ({0}); {EXPECTED}")]
    Unrecognised(String),
    /// A known container without a sound track we can decode.
    #[error("its audio cannot be decoded ({0}); {EXPECTED}")]
    Unsupported(String),
    /// Sample rate outside what telephones and studios use.
    #[error("its sample rate is {0} Hz; expected 8000 to 384000 Hz")]
    Rate(u32),
    /// No channels, more than 7.1 has, or channels that are not loudspeakers.
    #[error("its channel layout is {0}; expected 1 to 8 loudspeaker channels")]
    Layout(String),
    /// The header promises more audio than the file holds.
    #[error("the file is cut off: it announces more audio than it holds; expected a complete file")]
    CutOff,
    /// A recognised file in which no packet decodes.
    #[error("no audio in it can be decoded ({0}); {EXPECTED}")]
    Undecodable(String),
    /// Too short to be looped.
    #[error(
        "all of it together is shorter than 10 ms, which cannot be looped; play it once instead"
    )]
    TooShort,
    /// The text of a playlist is not one.
    #[error(
        "it is not a playlist that can be read ({0}); expected M3U, M3U8, PLS or XSPF of at most 4 MiB"
    )]
    Playlist(String),
    /// A playlist in a playlist in a playlist.
    #[error("a playlist inside a playlist may not name another one; expected audio files")]
    Nested,
    /// A folder or playlist without entries.
    #[error("there is no music in it; {EXPECTED}")]
    NoEntries,
    /// A folder or playlist of which nothing plays.
    #[error("nothing in it can be played, {count} tried; the first is {first}")]
    NonePlays {
        /// How many entries were tried.
        count: usize,
        /// The first of them, and what is wrong with it.
        first: String,
    },
    /// A stream cannot be had.
    #[error(transparent)]
    Live(#[from] Trouble),
    /// A decoder gave up in a way it should not.
    #[error("the decoder failed on it; {EXPECTED}")]
    Decoder,
}
