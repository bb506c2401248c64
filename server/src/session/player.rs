//! The player role: format, timing, and whether a stream is wanted.

use protocol::message::{
    ClientState, FormatRequest, OperationalState, PlaybackState, PlayerCommandName, PlayerSupport,
};
use protocol::time::{ServerSpan, ServerTime};

use crate::fanout::audio_lane::AudioTerms;
use crate::fanout::outbox::{Close, close_code};
use crate::group::View;
use crate::pipeline::encoder::WireFormat;
use crate::pipeline::{CHUNK_SPAN, LEAD_MAX};

/// How long a client may take for its first `client/state` before it is taken for one that sends none
/// (wire reference 8.1).
const STATE_WITHIN: ServerSpan = ServerSpan::from_secs(5);

/// Largest capacity believed, in bytes: minutes of audio, far beyond the lead.
const CAPACITY_BYTES_MAX: u64 = 64 << 20;

/// Loudest.
const VOLUME_MAX: u8 = 100;

/// Longest static delay, in milliseconds (wire reference 2.1).
const STATIC_DELAY_MS_MAX: u32 = 5_000;

/// Longest lead that a client may report, in milliseconds (wire reference 5.1).
const REPORTED_LEAD_MS_MAX: u32 = 30_000;

/// What is assumed of a client that does not report them, in milliseconds (wire reference 5.1).
const REQUIRED_LEAD_MS: u32 = 250;
const MIN_BUFFER_MS: u32 = 1_000;

/// Shortest start lead, in milliseconds (wire reference 5.1).
const START_LEAD_MS_MIN: u32 = 50;

/// Longest start lead: the audio that is made ahead, less two chunks, so that one is always found.
const START_LEAD_MAX: ServerSpan =
    ServerSpan::from_micros(LEAD_MAX.as_micros() - 2 * CHUNK_SPAN.as_micros());

/// A client's player role.
#[derive(Debug)]
pub(super) struct PlayerRole {
    format: WireFormat,
    capacity_bytes: u64,
    static_delay_ms: u32,
    required_lead_ms: u32,
    min_buffer_ms: u32,
    /// When to stop waiting for the first `client/state`; `None` once it has come.
    state_until: Option<ServerTime>,
    state: OperationalState,
    streams: bool,
    volume: Option<u8>,
    muted: Option<bool>,
    commands: Vec<PlayerCommandName>,
}

impl PlayerRole {
    /// Chooses the first of the client's formats that this server makes.
    ///
    /// # Errors
    ///
    /// How to close, when there is none, or when the client cannot hold a single chunk of it.
    pub(super) fn new(support: &PlayerSupport, now: ServerTime) -> Result<Self, Close> {
        let Some(format) = support.supported_formats.iter().copied().find_map(WireFormat::of)
        else {
            let reason = format!("no common format: this server sends {}", WireFormat::IN_WORDS);
            return Err(Close::new(close_code::UNSUPPORTED, reason));
        };
        let player = Self {
            format,
            capacity_bytes: support.buffer_capacity.min(CAPACITY_BYTES_MAX),
            static_delay_ms: 0,
            required_lead_ms: REQUIRED_LEAD_MS,
            min_buffer_ms: MIN_BUFFER_MS,
            state_until: Some(now + STATE_WITHIN),
            state: OperationalState::Synchronized,
            streams: false,
            volume: None,
            muted: None,
            commands: support.supported_commands.clone(),
        };
        if player.holds_a_chunk(format) {
            return Ok(player);
        }
        let reason = format!(
            "buffer_capacity {} is too small: a chunk has {} bytes",
            support.buffer_capacity,
            format.message_bytes_max()
        );
        Err(Close::new(close_code::UNSUPPORTED, reason))
    }

    /// Takes the client's word for its state and timing.
    pub(super) fn handle_state(&mut self, state: &ClientState) {
        self.state_until = None;
        let player = state.player.as_ref();
        // sendspin-js 3.2.1 knows no top-level state and puts it into the player's.
        if let Some(state) = state.state.or_else(|| player?.state) {
            self.state = state;
        }
        let Some(player) = player else { return };
        if let Some(volume) = player.volume {
            self.volume = Some(volume.min(VOLUME_MAX));
        }
        if let Some(muted) = player.muted {
            self.muted = Some(muted);
        }
        // Beside those of the hello: sendspin-js 3.2.1 lists only the delay's here.
        for name in player.supported_commands.iter().flatten() {
            if !self.commands.contains(name) {
                self.commands.push(*name);
            }
        }
        if let Some(ms) = player.static_delay_ms {
            self.static_delay_ms = ms.min(STATIC_DELAY_MS_MAX);
        }
        if let Some(ms) = player.required_lead_time_ms {
            self.required_lead_ms = ms.min(REPORTED_LEAD_MS_MAX);
        }
        if let Some(ms) = player.min_buffer_ms {
            self.min_buffer_ms = ms.min(REPORTED_LEAD_MS_MAX);
        }
    }

    /// Takes a wish for another format. Returns whether it is granted; if not, the format stays.
    pub(super) fn handle_format(&mut self, wish: &FormatRequest) -> bool {
        let wished = WireFormat::of(wish.applied_to(self.format.audio_format()));
        match wished.filter(|&format| self.holds_a_chunk(format)) {
            Some(format) => {
                self.format = format;
                true
            }
            None => false,
        }
    }

    /// Whether the client is to have a stream now, and when that is decided if it is not yet.
    pub(super) fn wants_stream(
        &self,
        view: &View<'_>,
        now: ServerTime,
    ) -> (bool, Option<ServerTime>) {
        let undecided = self.state_until.filter(|&until| now < until);
        let wanted = undecided.is_none()
            && self.state != OperationalState::ExternalSource
            && view.playback == PlaybackState::Playing;
        (wanted, undecided)
    }

    /// Perceived loudness, 0 to 100, if it can be set, and whether it is silent, if it can be muted.
    pub(super) fn loudness(&self) -> (Option<u8>, Option<bool>) {
        let obeys = |name| self.commands.contains(&name);
        (
            self.volume.filter(|_| obeys(PlayerCommandName::Volume)),
            self.muted.filter(|_| obeys(PlayerCommandName::Mute)),
        )
    }

    /// The format of its chunks.
    pub(super) fn format(&self) -> WireFormat {
        self.format
    }

    /// Whether a stream is active.
    pub(super) fn streams(&self) -> bool {
        self.streams
    }

    /// Notes that a stream has been started.
    pub(super) fn start(&mut self) {
        self.streams = true;
    }

    /// Notes that the stream is over. Returns whether there was one.
    pub(super) fn stop(&mut self) -> bool {
        std::mem::take(&mut self.streams)
    }

    /// What the stream is to be.
    pub(super) fn terms(&self) -> AudioTerms {
        let lead_ms = self.min_buffer_ms.max(self.required_lead_ms).max(START_LEAD_MS_MIN);
        let delay = ServerSpan::from_millis(i64::from(self.static_delay_ms));
        let start_lead = ServerSpan::from_millis(i64::from(lead_ms)) + delay;
        AudioTerms {
            format: self.format,
            start_lead: start_lead.min(START_LEAD_MAX),
            delay,
            capacity_bytes: self.capacity_bytes,
        }
    }

    fn holds_a_chunk(&self, format: WireFormat) -> bool {
        self.capacity_bytes >= format.message_bytes_max() as u64
    }
}
