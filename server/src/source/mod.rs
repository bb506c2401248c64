//! Turns what `--source` names into one stream of stereo samples at the party's rate.
//!
//! [`open`] checks every source before it returns, so that a wrong one is a clear line at the start and
//! not a silent party later. Behind the [`Source`] it hands out, tracks follow each other without a gap:
//! the resampler runs through the joins, and so does a looped list through its end.
//!
//! Here: files, the built-in demo and metronome, channel layout, sample rate.
//! Not here: pacing, dither, chunks and timestamps (`pipeline`). Nothing in this folder waits for
//! anything but the disk.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

mod demo;
mod downmix;
mod file;
mod gapless;
mod metronome;
mod resample;
mod sequence;
mod spec;
mod track;
mod vorbis_setup;

#[cfg(test)]
mod tests;

pub use spec::{SourceSpec, SpecError};
pub use track::Track;

/// The party's one sample rate, in Hz. Whatever a file was made at, this is what leaves a [`Source`].
pub const RATE_HZ: u32 = 48_000;

/// Channels of every stream: left, right.
pub const CHANNELS: usize = 2;

/// Most frames one [`Pcm`] holds, 85 ms. Small enough that the pump never works through a long block
/// while listeners wait, large enough that handing blocks over costs nothing.
pub const PCM_FRAMES_MAX: usize = 4096;

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

/// An opened, checked stream of music.
pub trait Source: Send {
    /// The next samples, or `None` for good when the music has ended.
    ///
    /// Blocks for decoding only. A damaged stretch of a file is left out and a track that fails is
    /// passed over, each with a warning in the log.
    ///
    /// # Errors
    ///
    /// Only when nothing can be played any more. Every call after that returns `Ok(None)`.
    fn read(&mut self) -> Result<Option<Pcm>, SourceError>;

    /// The track whose frames the next [`Source::read`] returns; after the end, the last one played.
    ///
    /// No [`Pcm`] holds frames of two tracks.
    fn track(&self) -> &Track;
}

/// Opens everything `specs` names, in order, and decodes the beginning of each.
///
/// With `looped`, the list starts over when it has ended, without a gap. Opened files are held, so one
/// that is deleted during the party goes on playing.
///
/// # Errors
///
/// The first source that cannot be played, see [`SourceError`]. The message is one line, made to be
/// shown as it is.
pub fn open(specs: &[SourceSpec], looped: bool) -> Result<Box<dyn Source>, SourceError> {
    let items = specs.iter().map(sequence::Item::open).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(sequence::Sequence::start(items, looped)?))
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
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo => f.write_str("the demo track"),
            Self::Metronome => f.write_str("the metronome"),
            Self::File(path) => path.to_string_lossy().chars().try_for_each(|c| {
                // A file name may hold a line break; a message is one line.
                if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
            }),
        }
    }
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
    /// A decoder gave up in a way it should not.
    #[error("the decoder failed on it; {EXPECTED}")]
    Decoder,
}
