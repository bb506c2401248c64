//! Whether anybody listens, which is what decoding is for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;

use tokio::sync::Notify;

use crate::pipeline::encoder::WireFormat;

/// Counts those who listen, here and at edges, and wakes whoever makes sound for them.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    here: AtomicUsize,
    elsewhere: AtomicUsize,
    formats: [AtomicUsize; WireFormat::ALL.len()],
    figures: AtomicUsize,
    maker: OnceLock<Thread>,
    news: Notify,
}

impl Demand {
    /// `maker` is the thread to wake. It may park when nobody listens: a listener who comes in between is not missed,
    /// because the thread then does not stay parked. Call this before anybody can come, and once.
    pub(crate) fn serve_by(&self, maker: &Thread) {
        self.maker.get_or_init(|| maker.clone());
    }

    /// One more listens here.
    pub(crate) fn add(&self) {
        if self.here.fetch_add(1, Ordering::AcqRel) == 0 {
            self.wake();
        }
        self.news.notify_one();
    }

    /// One who did listens no more.
    pub(crate) fn remove(&self) {
        self.here.fetch_sub(1, Ordering::AcqRel);
        self.news.notify_one();
    }

    /// So many listen elsewhere.
    pub(crate) fn set_elsewhere(&self, listening: usize) {
        let before = self.elsewhere.swap(listening, Ordering::AcqRel);
        if before == 0 && listening > 0 {
            self.wake();
        }
        if before != listening {
            self.news.notify_one();
        }
    }

    /// One who was to get chunks in one format is to get them in another, if any.
    pub(crate) fn change_format(&self, from: Option<WireFormat>, to: Option<WireFormat>) {
        if let Some(from) = from {
            self.formats[from as usize].fetch_sub(1, Ordering::AcqRel);
        }
        if let Some(to) = to {
            self.formats[to as usize].fetch_add(1, Ordering::AcqRel);
        }
        self.news.notify_one();
    }

    /// One more is to get figures of the sound, or one fewer. Returns whether it is the first.
    pub(crate) fn change_figures(&self, wants: bool) -> bool {
        let before = if wants {
            self.figures.fetch_add(1, Ordering::AcqRel)
        } else {
            self.figures.fetch_sub(1, Ordering::AcqRel)
        };
        self.news.notify_one();
        wants && before == 0
    }

    /// Whether somebody is to get figures of the sound.
    pub(crate) fn wants_figures(&self) -> bool {
        self.figures.load(Ordering::Acquire) > 0
    }

    /// How many listen here.
    pub(crate) fn here(&self) -> usize {
        self.here.load(Ordering::Acquire)
    }

    /// How many listen, wherever they are.
    pub(crate) fn listening(&self) -> usize {
        self.here().saturating_add(self.elsewhere.load(Ordering::Acquire))
    }

    /// Whether somebody here is to get chunks in `format`.
    pub(crate) fn wants(&self, format: WireFormat) -> bool {
        self.formats[format as usize].load(Ordering::Acquire) > 0
    }

    /// Returns when one of these numbers has changed since the last call. For one who waits.
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }

    /// Something was asked of whoever makes the sound.
    pub(crate) fn poke(&self) {
        self.wake();
        self.news.notify_one();
    }

    fn wake(&self) {
        if let Some(maker) = self.maker.get() {
            maker.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;
    use std::time::{Duration, Instant};

    /// Listeners come and go as fast as they can, while the maker parks whenever nobody is there. A wake-up that is lost
    /// once would leave it parked to the end.
    #[test]
    fn nobody_who_comes_at_the_edge_is_missed() {
        const ROUNDS: usize = 500;
        let demand = Arc::new(Demand::default());
        let (served, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let maker = {
            let (demand, served, done) =
                (Arc::clone(&demand), Arc::clone(&served), Arc::clone(&done));
            thread::spawn(move || {
                while done.load(Ordering::Acquire) == 0 {
                    if demand.listening() == 0 {
                        thread::park();
                    } else {
                        served.fetch_add(1, Ordering::Release);
                    }
                }
            })
        };
        demand.serve_by(maker.thread());
        let limit = Instant::now() + Duration::from_secs(20);
        for _ in 0..ROUNDS {
            let before = served.load(Ordering::Acquire);
            demand.add();
            while served.load(Ordering::Acquire) == before {
                assert!(Instant::now() < limit, "a listener waits for ever");
                thread::yield_now();
            }
            demand.remove();
        }
        done.store(1, Ordering::Release);
        maker.thread().unpark();
        maker.join().expect("the maker");
        assert_eq!(demand.listening(), 0);
    }
}
