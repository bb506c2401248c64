//! The figures between now and the lead: a bounded queue that many read, each from its own position. Pure.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use protocol::message::SpectrumShape;
use protocol::time::ServerTime;

use super::RATE_MAX;
use super::analyser::Finding;
use super::spectrum::Spectrum;
use crate::pipeline::REACH_MAX;

/// Most moments held: all that can be ahead, and as many again of what sets in between. When full, the oldest goes.
const MOMENTS_MAX: usize = 2 * (REACH_MAX.as_micros() as usize / 1_000_000) * RATE_MAX as usize;

/// Most shapes of a spectrum that are kept for the others who want the same. Further ones are made for each.
const SHAPES_MAX: usize = 8;

/// What is found in the sound at one moment.
#[derive(Debug)]
pub(crate) struct Moment {
    /// When it is heard.
    pub(crate) at: ServerTime,
    /// What.
    pub(crate) figure: Drawn,
}

/// What is sent of a finding.
#[derive(Debug)]
pub(crate) enum Drawn {
    /// How loud it is.
    Levels(Levels),
    /// Something sets in.
    Peak(u8),
    /// A beat.
    Beat,
}

/// How loud it is, in all forms that are asked for.
#[derive(Debug)]
pub(crate) struct Levels {
    /// In all.
    pub(crate) loudness: u16,
    /// The strongest frequency, Hz, and its level.
    pub(crate) peak: (u16, u16),
    spectrum: Spectrum,
    bands: Mutex<Vec<(SpectrumShape, Bytes)>>,
}

impl Levels {
    /// What they were made of.
    #[cfg(feature = "cluster")]
    pub(crate) fn spectrum(&self) -> &Spectrum {
        &self.spectrum
    }

    /// The levels of the bands of `shape`. The first who asks has them made.
    pub(crate) fn bands(&self, shape: SpectrumShape) -> Bytes {
        // Guards plain data that is whole between any two statements that could panic.
        let mut made = self.bands.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bands)) = made.iter().find(|(other, _)| *other == shape) {
            return bands.clone();
        }
        let bands = Bytes::from(self.spectrum.bands(shape));
        if made.len() < SHAPES_MAX {
            made.push((shape, bands.clone()));
        }
        bands
    }
}

impl Moment {
    /// What is sent of `finding`, which is heard `at` that time.
    pub(crate) fn new(at: ServerTime, finding: Finding) -> Self {
        let figure = match finding {
            Finding::Spectrum(spectrum) => Drawn::Levels(Levels {
                loudness: spectrum.loudness(),
                peak: spectrum.peak(),
                spectrum,
                bands: Mutex::default(),
            }),
            Finding::Peak(strength) => Drawn::Peak(strength),
            Finding::Beat => Drawn::Beat,
        };
        Self { at, figure }
    }
}

/// Moments in the order in which they are heard.
#[derive(Debug, Default)]
pub(crate) struct Reel {
    moments: VecDeque<Arc<Moment>>,
    dropped: u64,
    take: u64,
}

impl Reel {
    /// Appends `moment`, which is heard after all others.
    pub(crate) fn push(&mut self, moment: Moment) {
        if self.moments.len() >= MOMENTS_MAX {
            self.moments.pop_front();
            self.dropped += 1;
        }
        self.moments.push_back(Arc::new(moment));
    }

    /// Appends moments in order; those that are heard before the last one there are left out.
    #[cfg(feature = "cluster")]
    pub(crate) fn append(&mut self, moments: Vec<Moment>) {
        for moment in moments {
            if self.moments.back().is_none_or(|last| last.at <= moment.at) {
                self.push(moment);
            }
        }
    }

    /// Other sound follows: what is there is not what is heard.
    pub(crate) fn cut(&mut self) {
        self.dropped += self.moments.len() as u64;
        self.moments.clear();
        self.take += 1;
    }

    /// Changes when it is cut.
    pub(crate) fn take(&self) -> u64 {
        self.take
    }

    /// The place of the first moment that is heard after `time`; that of the next to come when there is none.
    pub(crate) fn first_after(&self, time: ServerTime) -> u64 {
        self.dropped + self.moments.partition_point(|moment| moment.at <= time) as u64
    }

    /// The moment at `place`: `None` when it is yet to come, or gone.
    pub(crate) fn get(&self, place: u64) -> Option<&Arc<Moment>> {
        let at = place.checked_sub(self.dropped)?;
        self.moments.get(usize::try_from(at).ok()?)
    }
}
