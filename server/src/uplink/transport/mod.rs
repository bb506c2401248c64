//! Origin and edge over Zenoh.
//!
//! Both run on a thread of their own, apart from listeners: what a peer does not take may hold up a send for a moment.
//! Nothing is looked for on the network: who follows whom is said on the command line.

mod config;
mod edge;
mod figures;
mod origin;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

pub(crate) use self::config::{Meeting, Tls};
use crate::studio::Venue;

/// How long closing may take. An edge that hears nothing of it finds out by itself.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// How long an origin may take to open its addresses.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Why a party cannot be followed, or let others follow. Shows as one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UplinkError {
    /// Zenoh's word.
    #[error("{0}")]
    Zenoh(String),
    /// There is nothing where to meet: no answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The system has no thread to give, or a file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl UplinkError {
    #[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
    fn zenoh(error: zenoh::Error) -> Self {
        // What comes after this says where in the library, on the machine that built it.
        let text = error.to_string();
        let what = text.lines().next().and_then(|line| line.split(" at /").next());
        Self::Zenoh(what.unwrap_or_default().trim_end_matches(['.', ' ']).to_owned())
    }
}

/// A running connection to edges, or to an origin.
#[derive(Debug)]
pub(crate) struct Uplink {
    stop: watch::Sender<bool>,
    finished: oneshot::Receiver<()>,
}

impl Uplink {
    /// Lets edges follow the party of `venue`.
    ///
    /// # Errors
    ///
    /// [`UplinkError`], for example when an address is taken.
    pub(crate) async fn serve(venue: Venue, meeting: Meeting) -> Result<Self, UplinkError> {
        let (opened, is_open) = oneshot::channel();
        let uplink = Self::start(move |stop| async move {
            match origin::Origin::open(venue, &meeting).await {
                Ok(origin) => {
                    let _ = opened.send(Ok(()));
                    origin.run(stop).await;
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        })?;
        // Errors say that it takes too long, or that its thread is gone.
        let opened = timeout(OPEN_WITHIN, is_open).await.map_err(|_| UplinkError::Timeout)?;
        opened.unwrap_or(Err(UplinkError::Timeout))?;
        Ok(uplink)
    }

    /// Follows the origin of a party, as `name`.
    ///
    /// # Errors
    ///
    /// Only the system's: an origin that is not there is waited for.
    pub(crate) fn follow(
        venue: Venue,
        meeting: Meeting,
        name: String,
    ) -> Result<Self, UplinkError> {
        Self::start(move |stop| edge::run(venue, meeting, name, stop))
    }

    /// Ends it, in an orderly way as far as that does not take long.
    pub(crate) async fn stop(&mut self) {
        // Errors say that it has ended already.
        let _ = self.stop.send(true);
        let _ = (&mut self.finished).await;
    }

    fn start<F: Future<Output = ()>>(
        work: impl FnOnce(watch::Receiver<bool>) -> F + Send + 'static,
    ) -> Result<Self, UplinkError> {
        let (stop, stopped) = watch::channel(false);
        let (finish, finished) = oneshot::channel();
        // Zenoh wants this kind of runtime, and one thread is enough: its own do the sending.
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
        thread::Builder::new().name("uplink".to_owned()).spawn(move || {
            runtime.block_on(work(stopped));
            runtime.shutdown_background();
            // An error says that nobody waits for the end.
            let _ = finish.send(());
        })?;
        Ok(Self { stop, finished })
    }
}

/// Returns when it is time to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error says that the uplink was dropped, which is as good.
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn close(session: zenoh::Session) {
    // A task, as closing cannot be taken up again once it was broken off. What is not closed by then goes on alone.
    let closing = tokio::spawn(async move { session.close().await });
    let _ = timeout(CLOSE_WITHIN, closing).await;
}

/// A number that nobody can guess.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A part of one, by chance.
pub(crate) fn jitter() -> f64 {
    (random() >> 11) as f64 / (1_u64 << 53) as f64
}
