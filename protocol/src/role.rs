//! Versioned role names.
//!
//! Source: Sendspin wire reference, section 2.1, `supported_roles`: versioned strings in the client's
//! order of preference. A name without a version never activates.

/// `player@v1`: receives audio and plays it.
pub const PLAYER_V1: &str = "player@v1";
/// `controller@v1`: sends commands to the group and sees what the group can do.
pub const CONTROLLER_V1: &str = "controller@v1";
/// `metadata@v1`: sees what is playing.
pub const METADATA_V1: &str = "metadata@v1";
/// `artwork@v1`: shows pictures.
pub const ARTWORK_V1: &str = "artwork@v1";
/// `color@v1`: sees the colours of what is playing.
pub const COLOR_V1: &str = "color@v1";
/// `visualizer@v1`: shows figures of the sound.
pub const VISUALIZER_V1: &str = "visualizer@v1";
/// `_partyline@v1`: sees what it may do and what comes next; of this project's page and server alone.
pub const PARTY_V1: &str = "_partyline@v1";
