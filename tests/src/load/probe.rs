//! Listeners who only want to know the time, in a thread of their own: where thousands of streams are read and compared, an
//! answer waits for longer than it took to come.

use std::rc::Rc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

use super::listener::{self, Ears, Kind, Replies};

/// How many there are.
const PROBES: usize = 20;

/// Running probes.
pub(super) struct Probes {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Replies>,
}

/// Starts them, against the server at `url`.
pub(super) fn start(url: String) -> Result<Probes> {
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = thread::Builder::new().name("probes".to_owned()).spawn(move || {
        let ears = Rc::new(Ears::new(&[]));
        ears.begin();
        let ask = async {
            let mut tasks = JoinSet::new();
            for number in 0..PROBES {
                let name = format!("probe-{number}");
                tasks.spawn_local(listener::run(url.clone(), name, Kind::Probe, Rc::clone(&ears)));
            }
            // An error says that nobody waits for the figures.
            let _ = stopped.await;
            tasks.shutdown().await;
        };
        LocalSet::new().block_on(&runtime, ask);
        ears.heard.take().replies
    })?;
    Ok(Probes { stop, thread })
}

impl Probes {
    /// Ends them. Returns what they heard.
    pub(super) fn finish(self) -> Result<Replies> {
        self.stop.send(()).map_err(|()| anyhow!("the probes ended by themselves"))?;
        let replies = self.thread.join().map_err(|_| anyhow!("the probes panicked"))?;
        (!replies.read_ms.is_empty()).then_some(replies).context("no time reply came")
    }
}
