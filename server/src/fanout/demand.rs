//! Whether anybody listens, which is what decoding is for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;

/// Counts those who listen, and wakes whoever makes sound for them.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    listening: AtomicUsize,
    maker: OnceLock<Thread>,
}

impl Demand {
    /// `maker` is the thread to wake. It may park when nobody listens: a listener who comes in between is not missed,
    /// because the thread then does not stay parked. Call this before anybody can come, and once.
    pub(crate) fn serve_by(&self, maker: &Thread) {
        self.maker.get_or_init(|| maker.clone());
    }

    /// One more listens.
    pub(crate) fn add(&self) {
        if self.listening.fetch_add(1, Ordering::AcqRel) == 0
            && let Some(maker) = self.maker.get()
        {
            maker.unpark();
        }
    }

    /// One who did listens no more.
    pub(crate) fn remove(&self) {
        self.listening.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many listen.
    pub(crate) fn listening(&self) -> usize {
        self.listening.load(Ordering::Acquire)
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
