//! A network between two sites, for machines whose system has none to offer: what is sent through arrives later, and in
//! order. It counts what passes.
//!
//! Threads, not tasks: a runtime's timers step by a millisecond, always at the same moments, and a clock that is compared
//! through them is off by a part of that.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::sim::Rng;

/// Bytes that are taken at once, and pieces that may be under way: more wait at the sender, as in a real network.
const PIECE_BYTES: usize = 16 << 10;
const PIECES_MAX: usize = 256;

/// Leads from a port of its own to another one, until the process ends.
#[derive(Debug)]
pub(super) struct Relay {
    port: u16,
    carried: Arc<AtomicU64>,
}

impl Relay {
    /// A way to `port` on this machine that takes from `delay.0` to `delay.1` each way.
    pub(super) fn start(port: u16, delay: (Duration, Duration), seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let own = listener.local_addr()?.port();
        let carried = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&carried);
        thread::spawn(move || {
            let mut rng = Rng::new(seed);
            for here in listener.incoming().map_while(Result::ok) {
                let Ok(there) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                // Errors only on connections that are gone.
                let _ = (here.set_nodelay(true), there.set_nodelay(true));
                let (Ok(back), Ok(forth)) = (here.try_clone(), there.try_clone()) else { continue };
                let up = Direction { delay, count: None, rng: Rng::new(rng.bits()) };
                let down =
                    Direction { delay, count: Some(Arc::clone(&count)), rng: Rng::new(rng.bits()) };
                thread::spawn(move || up.carry(here, there));
                thread::spawn(move || down.carry(forth, back));
            }
        });
        Ok(Self { port: own, carried })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that came back from the other port so far.
    pub(super) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

/// One direction of a connection.
struct Direction {
    delay: (Duration, Duration),
    count: Option<Arc<AtomicU64>>,
    rng: Rng,
}

impl Direction {
    /// Carries until either end is gone, and tells the other.
    fn carry(mut self, mut from: TcpStream, mut to: TcpStream) {
        let (hand_over, under_way) = sync_channel::<(Instant, Vec<u8>)>(PIECES_MAX);
        let Ok(mut far) = to.try_clone() else { return };
        let count = self.count.take();
        thread::spawn(move || {
            for (at, piece) in under_way {
                thread::sleep(at.saturating_duration_since(Instant::now())); // Polls: this is the delay.
                if far.write_all(&piece).is_err() {
                    return;
                }
                if let Some(count) = &count {
                    count.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
            }
        });
        let (least, most) = self.delay;
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut piece) {
            let delay = least + most.saturating_sub(least).mul_f64(self.rng.unit());
            if hand_over.send((Instant::now() + delay, piece[..bytes].to_vec())).is_err() {
                break;
            }
        }
        // Errors say that it is gone already.
        let _ = (from.shutdown(Shutdown::Both), to.flush(), to.shutdown(Shutdown::Both));
    }
}
