//! What the player says about itself: one set of figures for the page, the tests and a person who asks.

use serde::Serialize;

/// What the player is doing, as `<body data-state>` shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not listening.
    #[default]
    Idle,
    /// On the way to the server for the first time.
    Connecting,
    /// Connected; no sound yet: the clock is being compared, or nothing is being sent.
    Buffering,
    /// Sound comes out.
    Playing,
    /// The server is lost; what is buffered plays on.
    Reconnecting,
    /// Listening ended because something went wrong.
    Error,
}

impl State {
    /// The state's name in the page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Buffering => "buffering",
            Self::Playing => "playing",
            Self::Reconnecting => "reconnecting",
            Self::Error => "error",
        }
    }
}

/// How blocks reach the audio output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// An `AudioWorklet`, on secure pages.
    Worklet,
    /// Scheduled buffer sources, on plain `http` pages.
    BufferSource,
}

/// Generation of the protocol that the connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// JSON as text, audio as binary, nothing encrypted.
    Clear,
}

/// The player's figures. A figure that is not known is `None`, never invented.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// What the player is doing.
    pub state: State,
    /// Protocol generation of the connection.
    pub dialect: Option<Dialect>,
    /// Codec of the stream, by its name on the wire.
    pub codec: Option<&'static str>,
    /// How blocks reach the audio output.
    pub output: Option<OutputKind>,
    /// Heard minus due, microseconds on the server's clock; positive is late.
    pub sync_error_us: Option<f64>,
    /// Standard error of the estimate of the server's clock, microseconds.
    pub clock_error_us: Option<f64>,
    /// How much faster the server's clock runs than the audio output's, parts per million.
    pub drift_ppm: Option<f64>,
    /// Audio that is here and not yet heard, milliseconds.
    pub buffered_ms: f64,
    /// Delay between handing a frame to the audio output and hearing it, milliseconds.
    pub output_latency_ms: Option<f64>,
    /// Median round trip of the latest clock readings, milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Jumps to the right frame since the start of listening, the first one not counted.
    pub reanchors: u32,
    /// Times that the buffer ran empty while playing.
    pub underruns: u32,
    /// Chunks that came too late to be heard.
    pub late_chunks: u32,
    /// Frames per second of the audio output.
    pub output_rate_hz: Option<u32>,
}
