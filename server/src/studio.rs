//! What makes the sound, for listeners here and elsewhere: a source that is decoded here, or an origin that is followed.

use std::io;
use std::sync::Arc;
#[cfg(feature = "cluster")]
use std::time::Duration;

#[cfg(feature = "cluster")]
use crate::config::Config;
use crate::control::Control;
use crate::fanout::demand::Demand;
use crate::fanout::hub::Hub;
use crate::group::Group;
use crate::metrics::Metrics;
use crate::party_clock::PartyClock;
use crate::picture::darkroom::Darkroom;
use crate::pipeline::line::Line;
use crate::pipeline::pump::Pump;
use crate::server::StartError;
use crate::session::Identity;
use crate::source::Source;
use crate::visual::observatory::Observatory;
#[cfg(feature = "cluster")]
use crate::{cluster::Meeting, pipeline::REACH_MAX, uplink::transport::Uplink};

/// How long an edge that starts waits for its origin before it opens its door all the same.
#[cfg(feature = "cluster")]
const FOLLOW_WITHIN: Duration = Duration::from_secs(3);

/// What listeners look at, and what is known of them.
#[derive(Clone, Debug)]
pub(crate) struct Venue {
    /// Chunks and titles.
    pub(crate) hub: Arc<Hub>,
    /// Whether anybody listens.
    pub(crate) demand: Arc<Demand>,
    /// What time it is.
    pub(crate) clock: PartyClock,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What is asked of what makes the sound.
    pub(crate) control: Arc<Control>,
    /// Makes pictures.
    pub(crate) darkroom: Arc<Darkroom>,
    /// Looks at the sound.
    pub(crate) observatory: Arc<Observatory>,
}

impl Venue {
    /// Where sound is made.
    fn of_origin(identity: Identity) -> io::Result<Self> {
        let (hub, demand, clock) = (hub(identity), Arc::default(), PartyClock::own());
        let observatory = Observatory::open(&hub, Arc::clone(&demand), clock.clone())?;
        Ok(Self {
            darkroom: Arc::new(Darkroom::open(&hub)?),
            observatory: Arc::new(observatory),
            metrics: Arc::default(),
            control: Arc::default(),
            hub,
            demand,
            clock,
        })
    }

    /// Where it is passed on.
    #[cfg(feature = "cluster")]
    fn of_edge(identity: Identity) -> io::Result<Self> {
        let (hub, demand) = (hub(identity), Arc::default());
        Ok(Self {
            darkroom: Arc::new(Darkroom::open(&hub)?),
            observatory: Arc::new(Observatory::closed(Arc::clone(&demand))),
            metrics: Arc::default(),
            control: Arc::new(Control::to_origin()),
            clock: PartyClock::followed(),
            hub,
            demand,
        })
    }
}

fn hub(identity: Identity) -> Arc<Hub> {
    let group = Group::new(format!("{}-group", identity.server_id), identity.name.clone());
    Arc::new(Hub::new(identity, group))
}

/// What runs behind a [`Venue`].
#[derive(Debug)]
pub(crate) struct Studio {
    pub(crate) venue: Venue,
    /// The decoding thread. Ends after the block it is at.
    pump: Option<Pump>,
    /// What edges follow, or what follows an origin.
    #[cfg(feature = "cluster")]
    uplink: Option<Uplink>,
}

impl Studio {
    /// Plays `source`, for edges as well if the configuration says so.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    #[cfg(feature = "cluster")]
    pub(crate) async fn play(
        identity: Identity,
        source: Box<dyn Source>,
        meeting: Option<Meeting>,
    ) -> Result<Self, StartError> {
        let venue = Venue::of_origin(identity).map_err(StartError::Thread)?;
        let (line, uplink) = match meeting {
            Some(meeting) => {
                let uplink = Uplink::serve(venue.clone(), meeting).await;
                (Line::reaching(REACH_MAX), Some(uplink.map_err(StartError::Edges)?))
            }
            None => (Line::default(), None),
        };
        let pump = Some(Pump::start(source, line, &venue).map_err(StartError::Thread)?);
        Ok(Self { venue, pump, uplink })
    }

    /// Plays `source`.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    #[cfg(not(feature = "cluster"))]
    pub(crate) fn play(identity: Identity, source: Box<dyn Source>) -> Result<Self, StartError> {
        let venue = Venue::of_origin(identity).map_err(StartError::Thread)?;
        let pump = Some(Pump::start(source, Line::default(), &venue).map_err(StartError::Thread)?);
        Ok(Self { venue, pump })
    }

    /// Follows an origin, and returns when its party is known, or after some time.
    ///
    /// # Errors
    ///
    /// [`StartError`], but not because of the origin: it may come later.
    #[cfg(feature = "cluster")]
    pub(crate) async fn follow(config: &Config, meeting: Meeting) -> Result<Self, StartError> {
        // Until the origin has said who it is.
        let identity = Identity { name: config.name.clone(), ..Identity::default() };
        let venue = Venue::of_edge(identity).map_err(StartError::Thread)?;
        let mut known = venue.hub.upheavals();
        let name = host_name();
        let uplink = Uplink::follow(venue.clone(), meeting, name).map_err(StartError::Edges)?;
        // An error of either kind says that it is not known yet.
        let _ = tokio::time::timeout(FOLLOW_WITHIN, known.changed()).await;
        Ok(Self { venue, pump: None, uplink: Some(uplink) })
    }

    /// Ends all of it.
    pub(crate) async fn close(&mut self) {
        #[cfg(feature = "cluster")]
        if let Some(uplink) = &mut self.uplink {
            uplink.stop().await;
        }
        if let Some(pump) = &mut self.pump {
            pump.stop().await;
        }
    }
}

/// What this machine is called, for people.
#[cfg(feature = "cluster")]
fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = String::new();
    format!("{name}:{}", std::process::id())
}
