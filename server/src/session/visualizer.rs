//! The visualizer role: which figures of the sound a client gets, and whether it gets any.

use protocol::message::{
    PlaybackState, SpectrumShape, StreamEnd, StreamStart, VisualizerRequest, VisualizerStream,
    VisualizerSupport, VisualizerType,
};

use super::screen::Sight;
use crate::fanout::outbox::Outbox;
use crate::visual::lane::VisualTerms;
use crate::visual::{RATE_MAX, spectrum};

/// Largest capacity believed, in bytes: far beyond what the lead has figures.
const CAPACITY_BYTES_MAX: u64 = 4 << 20;

/// A client's visualizer role.
#[derive(Debug)]
pub(super) struct VisualizerRole {
    terms: VisualTerms,
    streams: bool,
}

impl VisualizerRole {
    /// What a hello asks for; `None` when that is nothing this server makes, or more than the client can hold.
    pub(super) fn new(support: &VisualizerSupport) -> Option<Self> {
        let terms = VisualTerms {
            types: support.types.clone(),
            rate_max: support.rate_max,
            spectrum: support.spectrum,
            capacity_bytes: support.buffer_capacity.min(CAPACITY_BYTES_MAX),
        };
        settled(terms).map(|terms| Self { terms, streams: false })
    }

    /// Starts or ends the stream as the party does.
    pub(super) fn follow(&mut self, sight: &Sight<'_>, outbox: &mut Outbox) {
        let plays = sight.view.playback == PlaybackState::Playing;
        if plays && !self.streams {
            self.streams = true;
            self.start(outbox);
        } else if !plays && self.stop(outbox) {
            outbox.push(StreamEnd { roles: Some(vec!["visualizer".to_owned()]) }.into());
        }
    }

    /// Takes a wish for other figures.
    ///
    /// # Errors
    ///
    /// When nothing would be left, or the client could not hold it. What was agreed stays.
    pub(super) fn handle_format(
        &mut self,
        wish: &VisualizerRequest,
        outbox: &mut Outbox,
    ) -> Result<(), &'static str> {
        let wished = VisualTerms {
            types: wish.types.clone().unwrap_or_else(|| self.terms.types.clone()),
            rate_max: wish.rate_max.unwrap_or(self.terms.rate_max),
            spectrum: wish.spectrum.or(self.terms.spectrum),
            capacity_bytes: self.terms.capacity_bytes,
        };
        let terms = settled(wished);
        self.terms = terms.ok_or("stream/request-format for figures this server does not send")?;
        if self.streams {
            self.start(outbox);
        }
        Ok(())
    }

    /// Ends the stream. Returns whether there was one.
    pub(super) fn stop(&mut self, outbox: &mut Outbox) -> bool {
        outbox.stop_figures();
        std::mem::take(&mut self.streams)
    }

    /// Whether a stream is active.
    pub(super) fn streams(&self) -> bool {
        self.streams
    }

    fn start(&self, outbox: &mut Outbox) {
        let visualizer = VisualizerStream {
            types: self.terms.types.clone(),
            rate_max: self.terms.rate_max,
            tracks_downbeats: Some(false),
            spectrum: self.terms.spectrum,
        };
        outbox.start_figures(self.terms.clone());
        outbox.push(StreamStart { visualizer: Some(visualizer), ..StreamStart::default() }.into());
    }
}

/// What of the wished-for terms is sent; `None` when that is nothing, or more than the client can hold.
fn settled(mut terms: VisualTerms) -> Option<VisualTerms> {
    terms.types.sort_unstable();
    terms.types.dedup();
    terms.spectrum = terms.spectrum.map(|shape: SpectrumShape| spectrum::nearest(shape));
    if terms.spectrum.is_none() {
        terms.types.retain(|&kind| kind != VisualizerType::Spectrum);
    }
    if !terms.types.contains(&VisualizerType::Spectrum) {
        terms.spectrum = None;
    }
    terms.rate_max = terms.rate_max.clamp(1, RATE_MAX);
    let fits = terms.moment_bytes_max() <= terms.capacity_bytes;
    (fits && !terms.types.is_empty()).then_some(terms)
}
