//! What the player is asked and what it says.

use protocol::message::{
    ControllerCommand, ControllerState, PartyCommand, PartyState, PartySupport,
};
use protocol::time::ClientTime;

use super::calibrator::{Calibration, CalibrationWish};
use super::now_playing::NowPlaying;
use crate::scheduler::Block;
use crate::stats::{OutputKind, State};

/// The code of a server that wants its players back (RFC 6455, section 7.4.1).
const GOING_AWAY: u16 = 1001;
/// What stands for the code of a close frame that did not come (RFC 6455, section 7.4.1).
const NO_CLOSE_FRAME: u16 = 1006;

/// Who this player is and how it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Names this player across connections.
    pub client_id: String,
    /// For people.
    pub name: String,
    /// Product the player runs on, for `device_info`.
    pub product: Option<String>,
    /// Perceived loudness, 0 to 100.
    pub volume: u8,
    /// Whether to be silent whatever the volume.
    pub muted: bool,
    /// How much later than the browser says the sound reaches the air, milliseconds; negative is earlier.
    pub delay_ms: i16,
    /// How blocks reach the audio output.
    pub output: OutputKind,
    /// Seed of the reconnect jitter.
    pub seed: u64,
    /// What the party role is asked for with: the host's key, if this is the host's page.
    pub party: PartySupport,
}

/// What a person asks of the player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Set the volume, 0 to 100.
    SetVolume(u8),
    /// Mute or unmute.
    SetMuted(bool),
    /// Be called so, now and over later connections.
    SetName(String),
    /// Set how much later than the browser says the sound reaches the air, milliseconds. Clamped to -1,000 to
    /// 5,000.
    SetDelay(i16),
    /// Ask the group for something. The server decides; what it does comes back as an event.
    Control(ControllerCommand),
    /// Ask for something that only this project's server knows. As [`Self::Control`].
    Party(PartyCommand),
    /// Compare this device with another one by chirps.
    Calibrate(CalibrationWish),
    /// Say goodbye and be idle.
    Stop,
}

/// Why listening ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection came about.
    NoServer,
    /// The server closed the connection with a reason.
    Refused {
        /// WebSocket close code.
        code: u16,
        /// The server's words, untrusted text.
        reason: String,
    },
    /// What answers is no server of this protocol, or sends what this player cannot play.
    Unsupported {
        /// What was wrong and what was expected.
        what: String,
    },
    /// The browser does not let the page play.
    AudioBlocked,
    /// The audio output could not be set up.
    AudioFailed {
        /// The browser's words.
        what: String,
    },
}

/// How a connection ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnect {
    /// WebSocket close code; 1006 when there was no close frame.
    pub code: u16,
    /// The close frame's reason, untrusted text.
    pub reason: String,
}

impl Disconnect {
    /// Whether the server goes down, or has nothing to offer yet, and wants its players back.
    pub(super) fn is_invitation(&self) -> bool {
        self.code == GOING_AWAY
    }

    /// Whether the server said why.
    pub(super) fn has_reason(&self) -> bool {
        self.code != NO_CLOSE_FRAME && !self.reason.is_empty()
    }

    /// Whether a close was the server's decision about this client, so that trying again is of no use: a protocol error,
    /// data or policy it does not accept, a code of its own (RFC 6455, section 7.4), or an orderly end with a reason,
    /// such as a newer connection of the same client.
    pub(super) fn is_refusal(&self) -> bool {
        match self.code {
            1000 => !self.reason.is_empty(),
            code => matches!(code, 1002 | 1003 | 1007..=1009 | 4000..=4999),
        }
    }
}

/// What changed, for the page.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The player does something else now.
    State(State),
    /// Another track, or more known of it.
    NowPlaying(NowPlaying),
    /// The group stopped because there is nothing to play now (`true`), or plays again (`false`).
    Ended(bool),
    /// What may be asked of the group now, and how it is set. `None` until a server tells.
    Controller(Option<ControllerState>),
    /// What this listener may do, what comes next and who else is here. Default until a server tells.
    Party(PartyState),
    /// The server set volume or mute.
    Volume {
        /// Perceived loudness, 0 to 100.
        volume: u8,
        /// Whether the player is silent whatever its volume.
        muted: bool,
    },
    /// The server or a calibration set the delay, milliseconds.
    Delay(i16),
    /// A calibration begins, goes on or ends.
    Calibration(Calibration),
    /// The output stands still although nobody asked it to, as in a phone call (`true`), or runs again (`false`).
    Interrupted(bool),
    /// The server's name is known.
    ServerName(String),
    /// Listening ended. The state is [`State::Error`] from here on.
    Failed(Failure),
}

/// What the caller must do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a connection, then call [`Player::connected`](super::Player::connected) or [`Player::disconnected`](super::Player::disconnected).
    Connect,
    /// Send this text.
    Send(String),
    /// Close the connection, if there is one. [`Player::disconnected`](super::Player::disconnected) must not be called for it.
    Disconnect,
    /// Play this block.
    Play(Block),
    /// Forget every block that was handed out and is not yet heard.
    Clear,
    /// Set the output's gain, 0.0 to 1.0, now.
    Gain(f32),
    /// Ask for the microphone and hand what it hears to
    /// [`Player::handle_microphone`](super::Player::handle_microphone) (`true`), or let go of it (`false`).
    Microphone(bool),
    /// Tell the page.
    Event(Event),
    /// Drained. Call [`Player::handle_timeout`](super::Player::handle_timeout) no later than this.
    Timeout(ClientTime),
}
