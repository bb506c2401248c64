//! Figures of the sound, sent to edges while one of them wants them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zenoh::pubsub::Publisher;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::{Session, Wait};

use super::UplinkError;
use super::config::Meeting;
use crate::studio::Venue;
use crate::uplink::figures::{Projector, SheetHeader, encode};

/// What sends them.
pub(super) struct Figures {
    publisher: Publisher<'static>,
    /// Whether an edge wants them.
    wanted: Arc<AtomicBool>,
    projector: Projector,
}

impl Figures {
    /// Sends nothing until an edge wants figures. Then they are computed, as for a listener of this process.
    pub(super) async fn declare(
        session: &Session,
        meeting: &Meeting,
        venue: &Venue,
    ) -> Result<Self, UplinkError> {
        let publisher = session
            .declare_publisher(meeting.key("figures"))
            .congestion_control(CongestionControl::Drop)
            .priority(Priority::DataLow)
            .await
            .map_err(UplinkError::zenoh)?;
        let wanted = Arc::new(AtomicBool::new(false));
        let (told, observatory) = (Arc::clone(&wanted), Arc::clone(&venue.observatory));
        let tell = move |wants: bool| {
            if told.swap(wants, Ordering::AcqRel) != wants {
                observatory.change(wants);
            }
        };
        let tell_at_first = tell.clone();
        publisher
            .matching_listener()
            .callback(move |status| tell(status.matching()))
            .background()
            .await
            .map_err(UplinkError::zenoh)?;
        let status = publisher.matching_status().await.map_err(UplinkError::zenoh)?;
        if status.matching() {
            tell_at_first(true);
        }
        Ok(Self { publisher, wanted, projector: Projector::default() })
    }

    /// Sends what is due, if anybody wants it. Made by the origin `instance`.
    pub(super) fn push(&mut self, venue: &Venue, instance: u64) {
        if !self.wanted.load(Ordering::Acquire) {
            return self.projector.rest();
        }
        loop {
            let (header, moments) = {
                let stage = venue.hub.stage();
                let (cuts, take) = (stage.group.cuts(), stage.reel.take());
                let moments = self.projector.next(venue.clock.now(), &stage);
                (SheetHeader { instance, cuts, take }, moments)
            };
            if moments.is_empty() {
                return;
            }
            let put = self.publisher.put(encode(&moments)).attachment(header.encode());
            if let Err(error) = put.wait() {
                tracing::debug!(%error, "figures not sent");
            }
        }
    }
}
