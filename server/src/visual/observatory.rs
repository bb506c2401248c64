//! The thread that looks at the sound, while somebody wants to see it.

use std::io;
use std::sync::Arc;

use protocol::audio::FrameIndex;
use protocol::time::{ServerSpan, ServerTime};

use super::analyser::{Analyser, Found};
use super::reel::Moment;
use crate::errand::Errand;
use crate::fanout::chunk::Chunk;
use crate::fanout::demand::Demand;
use crate::fanout::hub::Hub;
use crate::fanout::ring::Cursor;
use crate::party_clock::PartyClock;
use crate::pipeline::encoder::WireFormat;
use crate::source::RATE_HZ;

/// The ring that is looked at. Where sound is made, each has every chunk.
const RING: WireFormat = WireFormat::Pcm16;

/// Looks at the sound for those who want to see it.
#[derive(Debug)]
pub(crate) struct Observatory {
    demand: Arc<Demand>,
    /// `None` where the sound is not made: there figures come with it.
    errand: Option<Errand>,
}

impl Observatory {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system's, when it has no thread to give.
    pub(crate) fn open(hub: &Arc<Hub>, demand: Arc<Demand>, clock: PartyClock) -> io::Result<Self> {
        let wanted = Arc::clone(&demand);
        let mut watch = Watch::new(Arc::clone(hub));
        let errand = Errand::start("observatory", hub.chunks(), move || {
            if wanted.wants_figures() {
                watch.catch_up(clock.now());
            } else {
                watch.rest();
            }
        })?;
        Ok(Self { demand, errand: Some(errand) })
    }

    /// One that looks at nothing, and only counts who wants to see the sound.
    #[cfg(feature = "cluster")]
    pub(crate) fn closed(demand: Arc<Demand>) -> Self {
        Self { demand, errand: None }
    }

    /// One more wants to see it, or one fewer.
    pub(crate) fn change(&self, wants: bool) {
        let is_first = self.demand.change_figures(wants);
        if let Some(errand) = self.errand.as_ref().filter(|_| is_first) {
            errand.wake();
        }
    }
}

/// Where the thread is.
struct Watch {
    hub: Arc<Hub>,
    analyser: Analyser,
    /// The chunk that is next, once there was one.
    next: Option<Cursor>,
    /// When and in which epoch the chunk before it ends.
    end: Option<(ServerTime, u32)>,
    /// The frame, counted as chunks do, that the analyser counts as its first.
    first: FrameIndex,
}

impl Watch {
    fn new(hub: Arc<Hub>) -> Self {
        Self { hub, analyser: Analyser::new(), next: None, end: None, first: FrameIndex(0) }
    }

    /// Nobody looks: whoever comes begins with what is heard then.
    fn rest(&mut self) {
        self.next = None;
    }

    /// Looks at all chunks that are there.
    fn catch_up(&mut self, now: ServerTime) {
        while let Some(chunk) = self.next_chunk(now) {
            let Some(cut) = chunk.cut() else { return };
            if self.end != Some((chunk.play_at(), chunk.epoch())) {
                self.analyser.reset();
                self.first = cut.first;
                self.hub.project(super::reel::Reel::cut);
            }
            self.end = Some((chunk.end(), chunk.epoch()));
            let found = self.analyser.hear(&cut.samples);
            let moments: Vec<Moment> =
                found.into_iter().map(|found| self.moment(&chunk, cut.first, found)).collect();
            self.hub.project(|reel| moments.into_iter().for_each(|moment| reel.push(moment)));
        }
    }

    fn next_chunk(&mut self, now: ServerTime) -> Option<Arc<Chunk>> {
        let stage = self.hub.stage();
        let ring = stage.rings.of(RING);
        // After a rest, from what is heard: a chunk before it would be for nobody.
        let next = self.next.unwrap_or_else(|| ring.first_from(now)).max(ring.oldest());
        let chunk = Arc::clone(ring.get(next)?);
        self.next = Some(next.next());
        Some(chunk)
    }

    /// What was found while looking at `chunk`, whose first frame is `first`; it may be before it.
    fn moment(&self, chunk: &Chunk, first: FrameIndex, (frame, finding): Found) -> Moment {
        let frames = self.first.0 + frame - first.0;
        let off = ServerSpan::from_micros(1_000_000 * frames / i64::from(RATE_HZ));
        Moment::new(chunk.play_at() + off, finding)
    }
}
