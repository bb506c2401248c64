//! The visualizer role's objects: which figures of the sound a client wants, and which it gets.
//!
//! Source: wire reference 2.1, 2.2 and 3.5. The figures themselves are binary messages, see
//! [`crate::binary`].

use serde::{Deserialize, Serialize};

use super::field::{known_entries, known_entries_opt};

/// What the visualizer role can show, in `client/hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisualizerSupport {
    /// Which figures.
    #[serde(deserialize_with = "known_entries")]
    pub types: Vec<VisualizerType>,
    /// Bytes of messages that the client can hold until their time comes, headers included.
    pub buffer_capacity: u64,
    /// Most frames in a second.
    pub rate_max: u32,
    /// The spectrum's shape; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spectrum: Option<SpectrumShape>,
}

/// A figure of the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisualizerType {
    /// How loud it is.
    Loudness,
    /// The beats.
    Beat,
    /// The strongest frequency.
    FPeak,
    /// How loud each band is.
    Spectrum,
    /// Where something sets in.
    Peak,
}

/// Which bands a spectrum has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpectrumShape {
    /// How many.
    pub n_disp_bins: u32,
    /// How they are spread.
    pub scale: Scale,
    /// Where the first begins, Hz.
    pub f_min: u32,
    /// Where the last ends, Hz.
    pub f_max: u32,
}

/// How bands are spread over frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// As the ear hears pitch.
    Mel,
    /// Equal ratios.
    Log,
    /// Equal widths.
    Lin,
}

/// What a visualizer's stream carries, in `stream/start`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisualizerStream {
    /// Which figures.
    #[serde(deserialize_with = "known_entries")]
    pub types: Vec<VisualizerType>,
    /// Most frames in a second.
    pub rate_max: u32,
    /// Whether beats say which of them begin a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracks_downbeats: Option<bool>,
    /// The spectrum's shape, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spectrum: Option<SpectrumShape>,
}

/// A wish for other figures, in `stream/request-format`. Absent fields stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisualizerRequest {
    /// Which figures.
    #[serde(
        default,
        deserialize_with = "known_entries_opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub types: Option<Vec<VisualizerType>>,
    /// Most frames in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_max: Option<u32>,
    /// The spectrum's shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spectrum: Option<SpectrumShape>,
}
