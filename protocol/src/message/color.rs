//! The color role's object.

use serde::{Deserialize, Serialize};

use super::field::Field;
use crate::time::ServerTime;

/// A colour in sRGB: red, green, blue.
pub type Rgb = [u8; 3];

/// The colours of what is playing, in `server/state`: a delta.
///
/// What is written in `on_dark` on `background_dark`, and in `on_light` on `background_light`, has a contrast of 4.5 to 1
/// and more (wire reference 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColorState {
    /// From when on this holds.
    pub timestamp: ServerTime,
    /// Behind everything on a dark screen.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub background_dark: Field<Rgb>,
    /// Behind everything on a light screen.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub background_light: Field<Rgb>,
    /// What the picture has most of.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub primary: Field<Rgb>,
    /// What stands out in it.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub accent: Field<Rgb>,
    /// Text on the dark background.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub on_dark: Field<Rgb>,
    /// Text on the light background.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    pub on_light: Field<Rgb>,
}
