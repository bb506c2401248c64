//! A thread that does what there is to do whenever something has happened: for work that is too long for a task, and that
//! nobody waits for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

use tokio::sync::watch;
use tokio::task::JoinSet;

/// The running thread. It ends after the work it is at, when this is dropped.
#[derive(Debug)]
pub(crate) struct Errand {
    thread: Thread,
    stop: Arc<AtomicBool>,
    /// Wakes the thread. Ends with this.
    _waker: JoinSet<()>,
}

impl Errand {
    /// Starts a thread called `name` that calls `run` now, after each of the `news`, and after each [`Errand::wake`]. Several
    /// of them at once are one.
    ///
    /// # Errors
    ///
    /// The system's, when it has no thread to give.
    pub(crate) fn start(
        name: &str,
        mut news: watch::Receiver<u64>,
        mut run: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                run();
                // What happened since `run` looked has left a token, with which this returns at once.
                thread::park();
            }
        })?;
        let thread = started.thread().clone();
        let woken = thread.clone();
        let mut waker = JoinSet::new();
        waker.spawn(async move {
            while news.changed().await.is_ok() {
                woken.unpark();
            }
        });
        Ok(Self { thread, stop, _waker: waker })
    }

    /// Calls it once more.
    pub(crate) fn wake(&self) {
        self.thread.unpark();
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
