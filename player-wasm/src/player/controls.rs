//! How loud and how late: what people and servers set, and who is told.

use protocol::message::{ClientState, GroupUpdate, PlaybackState, PlayerCommand, PlayerState};
use protocol::time::ServerSpan;

use super::Player;
use super::api::{Event, Output};
use crate::gain::amplitude;

/// Largest delay trim, ms: what the wire can carry (wire reference 2.3).
pub(super) const DELAY_MS_MAX: i16 = 5_000;
/// Smallest delay trim, ms: a browser that tells too much latency makes its page play too early.
pub(super) const DELAY_MS_MIN: i16 = -1_000;
/// Longest text that is taken from a server for display, in characters.
const TEXT_MAX: usize = 500;

impl Player {
    pub(super) fn handle_group(&mut self, update: &GroupUpdate) {
        if let Some(playback) = update.playback_state
            && self.playback.replace(playback) != Some(playback)
        {
            let ended = playback == PlaybackState::Stopped;
            self.outputs.push_back(Output::Event(Event::Ended(ended)));
        }
    }

    pub(super) fn handle_player_command(&mut self, command: PlayerCommand) {
        match command {
            PlayerCommand::Volume { volume } => self.set_gain(volume.min(100), self.config.muted),
            PlayerCommand::Mute { mute } => self.set_gain(self.config.volume, mute),
            PlayerCommand::SetStaticDelay { static_delay_ms } => {
                self.set_delay(i16::try_from(static_delay_ms).unwrap_or(DELAY_MS_MAX));
                let delay_ms = self.config.delay_ms;
                return self.outputs.push_back(Output::Event(Event::Delay(delay_ms)));
            }
        }
        let (volume, muted) = (self.config.volume, self.config.muted);
        self.outputs.push_back(Output::Event(Event::Volume { volume, muted }));
    }

    pub(super) fn set_gain(&mut self, volume: u8, muted: bool) {
        self.config.volume = volume;
        self.config.muted = muted;
        self.outputs.push_back(Output::Gain(amplitude(volume, muted)));
        if self.link.is_open() {
            self.send(ClientState { player: Some(self.volume_state()), ..ClientState::default() });
        }
    }

    /// Moves the sound: the scheduler finds it in the wrong place and puts it right.
    pub(super) fn set_delay(&mut self, ms: i16) {
        let ms = ms.clamp(DELAY_MS_MIN, DELAY_MS_MAX);
        if std::mem::replace(&mut self.config.delay_ms, ms) != ms {
            self.forget_calibration();
        }
        if let Some(stream) = &mut self.stream {
            stream.expect_jump();
        }
        if self.link.is_open() {
            let static_delay_ms = Some(self.delay_on_the_wire());
            let player = PlayerState { static_delay_ms, ..PlayerState::default() };
            self.send(ClientState { player: Some(player), ..ClientState::default() });
        }
    }

    /// How much earlier than due the sound is handed out.
    pub(super) fn delay(&self) -> ServerSpan {
        ServerSpan::from_millis(i64::from(self.config.delay_ms))
    }

    /// The wire knows no negative delay, and the server need not know: it only sends a little early.
    pub(super) fn delay_on_the_wire(&self) -> u32 {
        u32::try_from(self.config.delay_ms).unwrap_or(0)
    }

    pub(super) fn volume_state(&self) -> PlayerState {
        PlayerState {
            volume: Some(self.config.volume),
            muted: Some(self.config.muted),
            ..PlayerState::default()
        }
    }
}

/// Text from a server, no longer than a page can show.
pub(super) fn clipped(text: impl AsRef<str>) -> String {
    text.as_ref().chars().take(TEXT_MAX).collect()
}
