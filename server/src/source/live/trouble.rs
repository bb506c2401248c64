//! What can be wrong with a stream.

use std::io;

use crate::source::Fault;

/// Why a stream does not play, or plays no longer. Shows as the end of a line that names the stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The address cannot be used.
    #[error("{0}; expected an address such as http://radio.example:8000/stream")]
    Address(&'static str),
    /// There is no way to the server.
    #[error("cannot connect ({0})")]
    Unreachable(String),
    /// The server cannot prove who it is.
    #[error("its certificate is not trusted ({0}); expected one that this machine trusts")]
    Certificate(String),
    /// The server refuses, or has a fault of its own.
    #[error("the server answers with status {0}; expected 200 and audio")]
    Status(u16),
    /// It sends the client from one address to the next.
    #[error("it redirects more than {0} times; expected an audio stream")]
    Redirects(usize),
    /// What answers does not speak HTTP, or says more than is looked at.
    #[error("the answer is not one of a web server ({0})")]
    NotHttp(&'static str),
    /// It is something else.
    #[error("it sends {0}; expected an audio stream")]
    NotAudio(String),
    /// It broke off.
    #[error("the connection was lost ({0})")]
    Lost(io::Error),
    /// It ended, and should not have.
    #[error("the stream ended")]
    Ended,
    /// The words of a command cannot be told apart.
    #[error("expected a command after `exec:`, with quotes in pairs")]
    Command,
    /// It cannot be started.
    #[error("it cannot be started ({0}); expected a program that this user may run")]
    Start(io::Error),
    /// It has ended.
    #[error("the command ended with {0}")]
    Exited(String),
    /// It ended and gave nothing.
    #[error(
        "the command ended with {0} before there was any sound; expected raw samples or an audio file on its standard output"
    )]
    Soundless(String),
    /// A pipe is gone, or cannot be opened.
    #[error("it cannot be opened ({0}); expected a named pipe that this user may read")]
    Pipe(io::Error),
    /// Nothing came.
    #[error("nothing came from it; expected audio")]
    Nothing,
    /// Only ffmpeg could read it, and is not there.
    #[error(
        "{0}; `ffmpeg` could play HE-AAC, Opus, WMA and more, but is not installed: get it from your system's \
         packages or https://ffmpeg.org; for raw samples give --source-format"
    )]
    NoFfmpeg(String),
    /// Neither we nor ffmpeg can read it.
    #[error("{0}; nor can ffmpeg play it")]
    Unknown(String),
}

impl Trouble {
    /// Whether a person has to change something: at the start of the server, this ends it.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            // Too early, and too many at a time.
            Self::Status(status) => {
                (400..500).contains(status) && ![408, 425, 429].contains(status)
            }
            Self::Unreachable(_) | Self::Lost(_) | Self::Ended | Self::Exited(_) => false,
            _ => true,
        }
    }
}

/// What a decoder says of a stream: trouble on the way to it is told from trouble in it.
pub(super) fn of_fault(fault: Fault) -> Fault {
    match fault {
        Fault::Unreadable(error) => Trouble::Lost(error).into(),
        fault => fault,
    }
}
