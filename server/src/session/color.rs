//! The color role: tells a client the colours of what is heard, when it is heard.

use protocol::message::{ColorState, Field, ServerMessage, ServerState};

use super::screen::{Sight, Told};

/// A client's color role: of which picture, if of any, it was told last.
#[derive(Debug, Default)]
pub(super) struct ColorRole {
    told: Option<Told>,
}

impl ColorRole {
    /// The message that brings the client up to date, if it is not.
    pub(super) fn follow(&mut self, sight: &Sight<'_>) -> Option<ServerMessage> {
        let picture = sight.picture();
        let current = Told(picture.map(|picture| picture.id));
        if self.told == Some(current) {
            return None;
        }
        self.told = Some(current);
        let palette = picture.map(|picture| picture.palette);
        let color = ColorState {
            timestamp: sight.since(),
            background_dark: Field::from(palette.map(|palette| palette.background_dark)),
            background_light: Field::from(palette.map(|palette| palette.background_light)),
            primary: Field::from(palette.map(|palette| palette.primary)),
            accent: Field::from(palette.map(|palette| palette.accent)),
            on_dark: Field::from(palette.map(|palette| palette.on_dark)),
            on_light: Field::from(palette.map(|palette| palette.on_light)),
        };
        Some(ServerState { color: Some(color), ..ServerState::default() }.into())
    }
}
