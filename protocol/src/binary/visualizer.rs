//! Figures of the sound: one frame to a message, `[type][time][figures]`.
//!
//! Source: wire reference 3.5.

use std::ops::RangeInclusive;

use crate::message::VisualizerType;
use crate::time::ServerTime;

/// Message ids of the figures (wire reference 3.1).
pub const VISUALIZER: RangeInclusive<u8> = 16..=20;

/// Bit of a beat's flags that says that a bar begins.
const DOWNBEAT: u8 = 1;

/// A figure of the sound at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisualizerFrame<'a> {
    /// When the sound that it describes is heard.
    pub at: ServerTime,
    /// What.
    pub figure: Figure<'a>,
}

/// What a frame says. Levels are A-weighted: 0 is -60 dB and less, 65535 is 0 dB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure<'a> {
    /// How loud it is.
    Loudness(u16),
    /// A beat.
    Beat {
        /// Whether a bar begins with it.
        downbeat: bool,
    },
    /// The strongest frequency.
    FPeak {
        /// Which, Hz.
        hz: u16,
        /// Its level.
        amplitude: u16,
    },
    /// The level of each band, from the lowest.
    Spectrum(Bands<'a>),
    /// Something sets in, this strong.
    Peak(u8),
}

/// The levels of a spectrum as they are on the wire: two bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bands<'a>(pub &'a [u8]);

impl Bands<'_> {
    /// The levels, from the lowest band.
    pub fn levels(&self) -> impl ExactSizeIterator<Item = u16> {
        self.0.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }
}

impl<'a> VisualizerFrame<'a> {
    /// The whole message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let begin = |kind, bytes| super::begin(id(kind), self.at, bytes);
        match self.figure {
            Figure::Loudness(level) => {
                let mut message = begin(VisualizerType::Loudness, 2);
                message.extend_from_slice(&level.to_be_bytes());
                message
            }
            Figure::Beat { downbeat } => {
                let mut message = begin(VisualizerType::Beat, 1);
                message.push(if downbeat { DOWNBEAT } else { 0 });
                message
            }
            Figure::FPeak { hz, amplitude } => {
                let mut message = begin(VisualizerType::FPeak, 4);
                message.extend_from_slice(&hz.to_be_bytes());
                message.extend_from_slice(&amplitude.to_be_bytes());
                message
            }
            Figure::Spectrum(bands) => {
                let mut message = begin(VisualizerType::Spectrum, bands.0.len());
                message.extend_from_slice(bands.0);
                message
            }
            Figure::Peak(strength) => {
                let mut message = begin(VisualizerType::Peak, 1);
                message.push(strength);
                message
            }
        }
    }

    /// Reads what stands behind the time. `None` when it is too short, or half a level is left over.
    pub(super) fn read(id: u8, at: ServerTime, bytes: &'a [u8]) -> Option<Self> {
        let level = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        // Longer frames may come from a newer peer; a spectrum alone has no end of its own.
        let figure = match id {
            16 => Figure::Loudness(level(0)?),
            17 => Figure::Beat { downbeat: bytes.first()? & DOWNBEAT != 0 },
            18 => Figure::FPeak { hz: level(0)?, amplitude: level(2)? },
            19 if !bytes.is_empty() && bytes.len().is_multiple_of(2) => {
                Figure::Spectrum(Bands(bytes))
            }
            20 => Figure::Peak(*bytes.first()?),
            _ => return None,
        };
        Some(Self { at, figure })
    }
}

/// The message id of a figure.
const fn id(kind: VisualizerType) -> u8 {
    match kind {
        VisualizerType::Loudness => 16,
        VisualizerType::Beat => 17,
        VisualizerType::FPeak => 18,
        VisualizerType::Spectrum => 19,
        VisualizerType::Peak => 20,
    }
}
