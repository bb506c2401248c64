//! JSON messages: the `type`/`payload` envelope and what travels in it.
//!
//! Clear-text generation ("L" of the wire reference, section 2). Key order is free, unknown keys and
//! unknown types are ignored, and state objects are deltas: an absent field is unchanged, `null` clears
//! it, which [`Field`] keeps apart.

mod artwork;
mod color;
mod controller;
mod core;
mod field;
mod metadata;
mod party;
mod player;
mod stream;
mod visualizer;

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

pub use self::artwork::{
    ARTWORK_CHANNELS_MAX, ArtworkChannel, ArtworkRequest, ArtworkSource, ArtworkStream,
    ArtworkStreamChannel, ArtworkSupport, ImageFormat,
};
pub use self::color::{ColorState, Rgb};
pub use self::controller::{ControllerCommand, ControllerState, Repeat};
pub use self::core::{
    ClientCommand, ClientGoodbye, ClientHello, ClientState, ClientTimeRequest, ConnectionReason,
    DeviceInfo, GoodbyeReason, GroupUpdate, OperationalState, PlaybackState, ServerCommand,
    ServerHello, ServerState, ServerTimeReply, UnstampedTimeReply,
};
pub use self::field::Field;
pub use self::metadata::{Metadata, Progress};
pub use self::party::{
    PartyCommand, PartyState, PartySupport, PlayerInfo, QueueEntry, Rights, SyncReport,
};
pub use self::player::{PlayerCommand, PlayerCommandName, PlayerState, PlayerSupport};
pub use self::stream::{
    FormatRequest, StreamClear, StreamEnd, StreamFormat, StreamRequestFormat, StreamStart,
};
pub use self::visualizer::{
    Scale, SpectrumShape, VisualizerRequest, VisualizerStream, VisualizerSupport, VisualizerType,
};

/// Protocol version in both hellos.
pub const VERSION: u32 = 1;

/// Why a text is not a message.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The text is not a JSON object with a string `type`.
    #[error("not a message, expected {{\"type\": …, \"payload\": …}}: {0}")]
    Envelope(#[source] serde_json::Error),
    /// A type that this end knows, with a payload that does not fit it.
    #[error("malformed {message}: {source}")]
    Payload {
        /// The message's type.
        message: &'static str,
        /// What did not fit.
        source: serde_json::Error,
    },
    /// A type that this end knows, without a payload.
    #[error("malformed {message}: it has no payload")]
    NoPayload {
        /// The message's type.
        message: &'static str,
    },
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Sent<'a, T> {
    r#type: &'static str,
    payload: &'a T,
}

impl<'a> Received<'a> {
    fn parse(text: &'a str) -> Result<Self, DecodeError> {
        object(text).map_err(DecodeError::Envelope)
    }

    fn payload<T: DeserializeOwned>(&self, message: &'static str) -> Result<T, DecodeError> {
        let payload = self.payload.ok_or(DecodeError::NoPayload { message })?;
        object(payload.get()).map_err(|source| DecodeError::Payload { message, source })
    }
}

/// Reads an object. serde alone would also take an array and read it field by field, in an order that
/// only the source code knows.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    if json.trim_ascii_start().starts_with('{') {
        serde_json::from_str(json)
    } else {
        Err(serde::de::Error::custom("expected a JSON object"))
    }
}

fn encode<T: Serialize>(message: &'static str, payload: &T) -> String {
    serde_json::to_string(&Sent { r#type: message, payload })
        .expect("messages have string keys and no type that can fail to serialize")
}

/// Declares one direction's messages: the enum, its decoder and its encoder, each name stated once.
macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($payload:ty) = $wire:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant($payload),)+
        }

        impl $name {
            /// The message's `type` on the wire.
            #[must_use]
            pub const fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $wire,)+
                }
            }

            /// Reads one whole WebSocket text message.
            ///
            /// `Ok(None)` is a type that this end does not know; the wire asks that it be ignored.
            ///
            /// # Errors
            ///
            /// [`DecodeError`] when the text is no message, or the payload of a known type does not
            /// fit it.
            pub fn decode(text: &str) -> Result<Option<Self>, DecodeError> {
                let received = Received::parse(text)?;
                match received.r#type.as_ref() {
                    $($wire => received.payload($wire).map(|payload| Some(Self::$variant(payload))),)+
                    _ => Ok(None),
                }
            }

            /// The message as text, `type` first.
            #[must_use]
            pub fn encode(&self) -> String {
                match self {
                    $(Self::$variant(payload) => encode($wire, payload),)+
                }
            }
        }

        $(
            impl From<$payload> for $name {
                fn from(payload: $payload) -> Self {
                    Self::$variant(payload)
                }
            }
        )+
    };
}

messages! {
    /// A message from a client (section 2.1).
    ClientMessage {
        /// Who the client is and what it can do. The first message of a connection.
        Hello(ClientHello) = "client/hello",
        /// Asks for the server's time.
        Time(ClientTimeRequest) = "client/time",
        /// State that the server should know, as a delta.
        State(ClientState) = "client/state",
        /// Asks the group to do something.
        Command(ClientCommand) = "client/command",
        /// Asks for another format of a running stream.
        RequestFormat(StreamRequestFormat) = "stream/request-format",
        /// The client is leaving.
        Goodbye(ClientGoodbye) = "client/goodbye",
    }
}

messages! {
    /// A message from a server (section 2.2).
    ServerMessage {
        /// Who the server is and which roles it activated. The first message of a connection.
        Hello(ServerHello) = "server/hello",
        /// The server's time.
        Time(ServerTimeReply) = "server/time",
        /// State of the group, as a delta.
        State(ServerState) = "server/state",
        /// Asks the client to do something.
        Command(ServerCommand) = "server/command",
        /// A stream begins, or goes on in another format.
        StreamStart(StreamStart) = "stream/start",
        /// What is buffered is void; the stream goes on.
        StreamClear(StreamClear) = "stream/clear",
        /// The stream is over.
        StreamEnd(StreamEnd) = "stream/end",
        /// What the group does.
        GroupUpdate(GroupUpdate) = "group/update",
    }
}
