//! The thread that turns the source into stamped chunks, a few seconds ahead of the clock.
//!
//! Without listeners it stands still, and so does the music. It blocks on decoding, which is why it is a thread. What it
//! does between two looks at the clock is in [`Line`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use protocol::time::ServerClock;
use tokio::sync::oneshot;

use super::line::{Line, Turn};
use crate::control::Command;
use crate::host_clock;
use crate::source::Source;
use crate::studio::Venue;

/// Longest sleep. The clock it waits for and the one that wakes it differ in rate by a few hundred ppm at
/// most; looking again after a second makes that nothing.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Longest wait for a source that has nothing yet. It wakes the thread when something comes; without that, silence has to be
/// made in time.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The running pump.
#[derive(Debug)]
pub(crate) struct Pump {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    finished: oneshot::Receiver<()>,
}

impl Pump {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system's, when it has no thread to give.
    pub(crate) fn start(
        source: Box<dyn Source>,
        line: Line,
        venue: &Venue,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (finish, finished) = oneshot::channel();
        let served = Arc::clone(&venue.demand);
        let venue = venue.clone();
        let thread = thread::Builder::new().name("pump".to_owned()).spawn(move || {
            run(source, line, &venue, &stopped);
            // An error says that nobody waits for the end.
            let _ = finish.send(());
        })?;
        served.serve_by(thread.thread());
        Ok(Self { stop, thread, finished })
    }

    /// Asks the thread to end and returns when it has. A decode that blocks is not interrupted: whoever
    /// cannot wait for it drops the future, and the thread ends with the process.
    pub(crate) async fn stop(&mut self) {
        self.ask();
        // An error says that the thread is gone already.
        let _ = (&mut self.finished).await;
    }

    fn ask(&self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.ask();
    }
}

fn run(mut source: Box<dyn Source>, mut line: Line, venue: &Venue, stop: &AtomicBool) {
    let Venue { hub, demand, metrics, control, .. } = venue;
    source.wake(thread::current());
    line.tell(source.as_ref(), hub);
    while !stop.load(Ordering::Acquire) {
        while let Some(command) = control.take() {
            // Players are nothing to the source, and nobody sends it what concerns them.
            if let Command::Source(request) = command {
                line.handle_request(request, source.as_mut(), (hub, host_clock::now()));
            }
        }
        let is_unheard = demand.listening() == 0;
        if is_unheard {
            line.pause();
        }
        if is_unheard || line.stands_still() {
            thread::park();
            continue;
        }
        if let Some(wait) = line.ahead(host_clock::now()) {
            thread::park_timeout(wait.min(SLEEP_MAX));
            continue;
        }
        let began = host_clock::now();
        let turn = line.turn(source.as_mut(), hub, host_clock::now);
        metrics.decoding.inc_by((host_clock::now::<ServerClock>() - began).as_secs_f64());
        match turn {
            Turn::More => {}
            Turn::Wait => thread::park_timeout(LOOK_AGAIN),
            Turn::Over => tracing::info!("the source has ended"),
        }
    }
}
