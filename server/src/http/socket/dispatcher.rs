//! Whose turn it is: calls connections when their moment has come or something has happened to the party.
//!
//! One task for each core instead of a timer and a task for each listener: what it costs to serve one does not depend on
//! how many there are, and between two of them there is nothing but a call.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use protocol::time::ServerTime;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use super::connection::Connection;
use crate::fanout::hub::Hub;
use crate::fanout::timer_queue::TimerQueue;
use crate::party_clock::PartyClock;

/// Connections that are served before whatever else wants the core: time requests that have come, above all.
const AT_ONCE: usize = 16;

/// The tasks that serve connections, each its share.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    shards: Vec<Arc<Shard>>,
    /// They end with the dispatcher.
    _tasks: JoinSet<()>,
}

impl Dispatcher {
    /// Starts a task for each core that the runtime uses.
    pub(crate) fn start(
        hub: &Arc<Hub>,
        clock: &PartyClock,
        shutdown: &watch::Receiver<bool>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let shards = (0..Handle::current().metrics().num_workers())
            .map(|_| {
                let shard = Arc::new(Shard::default());
                let work = Work {
                    shard: Arc::clone(&shard),
                    hub: Arc::clone(hub),
                    clock: clock.clone(),
                    due: Vec::new(),
                };
                tasks.spawn(work.run(shutdown.clone()));
                shard
            })
            .collect();
        Self { shards, _tasks: tasks }
    }

    /// The share of the `number`th connection.
    pub(super) fn shard(&self, number: u64) -> Arc<Shard> {
        let index = number % self.shards.len() as u64;
        Arc::clone(&self.shards[index as usize])
    }
}

/// The connections that one task serves.
#[derive(Debug, Default)]
pub(super) struct Shard {
    waiting: Mutex<Waiting>,
    /// Something is due sooner than the task expects.
    sooner: Notify,
}

/// Bounded by the number of connections: each has one entry that counts, and others for at most a second.
#[derive(Debug, Default)]
struct Waiting {
    for_time: TimerQueue<Weak<Connection>>,
    for_chunk: Vec<Weak<Connection>>,
}

impl Shard {
    /// Enters `connection` to be called at this time.
    pub(super) fn add_at(&self, at: ServerTime, connection: Weak<Connection>) {
        if self.waiting().for_time.push(at, connection) {
            self.sooner.notify_one();
        }
    }

    /// Enters `connection` to be called when there is another chunk.
    pub(super) fn add_for_chunk(&self, connection: Weak<Connection>) {
        let list = &mut self.waiting().for_chunk;
        // A chunk may be long in coming, while those who wait for it come and go.
        if list.len() == list.capacity() {
            list.retain(|connection| connection.strong_count() > 0);
        }
        list.push(connection);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task's work.
struct Work {
    shard: Arc<Shard>,
    hub: Arc<Hub>,
    clock: PartyClock,
    /// What is being served. Kept for its memory.
    due: Vec<(ServerTime, Weak<Connection>)>,
}

impl Work {
    async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let (mut changes, mut chunks) = (self.hub.changes(), self.hub.chunks());
        let mut upheavals = self.hub.upheavals();
        loop {
            // Seen before anybody is called, so that nothing falls in between.
            if has_changed(&mut upheavals) {
                // Their times are of a clock that is gone.
                let entries = std::mem::take(&mut self.shard.waiting().for_time);
                each(entries.items().cloned().collect(), Connection::evict).await;
            }
            if has_changed(&mut chunks) {
                let list = std::mem::take(&mut self.shard.waiting().for_chunk);
                each(list, Connection::proceed_with_chunk).await;
            }
            if has_changed(&mut changes) {
                each(self.all(), Connection::proceed).await;
            }
            if has_changed(&mut shutdown) {
                each(self.all(), Connection::shut_down).await;
            }
            if self.serve_due() {
                yield_now().await;
                continue;
            }
            let next = self.shard.waiting().for_time.next();
            // Errors only without those who announce, which then have nothing to announce any more.
            tokio::select! {
                () = self.until(next) => {}
                () = self.shard.sooner.notified() => {}
                Ok(()) = chunks.changed() => chunks.mark_changed(),
                Ok(()) = changes.changed() => changes.mark_changed(),
                Ok(()) = upheavals.changed() => upheavals.mark_changed(),
                Ok(()) = shutdown.changed() => shutdown.mark_changed(),
            }
        }
    }

    /// Calls a few whose time has come. Returns whether there were any.
    fn serve_due(&mut self) -> bool {
        let now = self.clock.now();
        let mut waiting = self.shard.waiting();
        let due = std::iter::from_fn(|| waiting.for_time.pop_due(now));
        self.due.extend(due.take(AT_ONCE));
        drop(waiting);
        let is_any = !self.due.is_empty();
        for (at, connection) in self.due.drain(..) {
            if let Some(connection) = connection.upgrade() {
                connection.proceed_at(at);
            }
        }
        is_any
    }

    async fn until(&self, time: Option<ServerTime>) {
        let Some(time) = time else { return pending().await };
        let micros = (time - self.clock.now()).as_micros();
        sleep(Duration::from_micros(u64::try_from(micros).unwrap_or(0))).await;
    }

    /// Everybody: each that lives waits for some time.
    fn all(&self) -> Vec<Weak<Connection>> {
        self.shard.waiting().for_time.items().cloned().collect()
    }
}

/// Calls each of `list`, with pauses for what else there is to do.
async fn each(list: Vec<Weak<Connection>>, call: impl Fn(&Arc<Connection>)) {
    for (index, connection) in list.iter().enumerate() {
        if let Some(connection) = connection.upgrade() {
            call(&connection);
        }
        if index % AT_ONCE == AT_ONCE - 1 {
            yield_now().await;
        }
    }
}

/// Whether there is news that was not seen. It is now.
fn has_changed<T>(news: &mut watch::Receiver<T>) -> bool {
    let has_changed = news.has_changed().unwrap_or(false);
    // Only then: what comes between the two lines would be lost otherwise.
    if has_changed {
        news.mark_unchanged();
    }
    has_changed
}
