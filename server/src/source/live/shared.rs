//! What the thread that fetches a stream and the one that plays it share.

use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::held::{Held, Piece};
use super::process::Group;
use crate::source::Fault;

/// How long a sender that can be asked again may be held back before it is let go. A party without listeners holds it
/// back, and would hear old sound when somebody comes.
const REST_AFTER: Duration = Duration::from_secs(10);

/// Longest sleep on a condition: nothing depends on it.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Both ends of a stream.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What both ends look at.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is what one side tells the other, at any time"
)]
pub(super) struct State {
    /// What has come.
    pub(super) held: Held,
    /// Something has come, ever.
    pub(super) has_begun: bool,
    /// It is played, whatever comes: what is wrong from now on may be right the next time.
    pub(super) is_accepted: bool,
    /// Why no more will come, if that is not as it should be.
    pub(super) fault: Option<Fault>,
    /// The thread that plays.
    pub(super) reader: Option<Thread>,
    /// It has asked since this was last reset.
    wanted: bool,
    /// Nobody plays it any more.
    closed: bool,
    /// Who fetches is gone.
    gone: bool,
    leash: Option<Leash>,
}

/// What ends a read that waits for a sender.
pub(super) enum Leash {
    /// A connection.
    Socket(TcpStream),
    /// A program.
    Program(Group),
}

impl Leash {
    fn pull(&self, by_force: bool) {
        match self {
            // An error says that it is closed.
            Self::Socket(stream) => drop(stream.shutdown(Shutdown::Both)),
            Self::Program(group) => group.end(by_force),
        }
    }
}

/// Why a sender is left.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody plays it any more.
    Closed,
    /// Nobody has asked for a while.
    Rest,
    /// Something is wrong.
    Fault(Fault),
}

impl<T: Into<Fault>> From<T> for Stop {
    fn from(fault: T) -> Self {
        Self::Fault(fault.into())
    }
}

impl State {
    /// Whether it is still to be seen if it is played at all.
    pub(super) fn may_be_refused(&self) -> bool {
        !self.has_begun && !self.is_accepted
    }
}

impl Shared {
    /// Nothing has come; up to `capacity` frames will be held.
    pub(super) fn new(capacity: usize, reader: Option<Thread>) -> Self {
        let state = State {
            held: Held::new(capacity),
            has_begun: false,
            is_accepted: false,
            fault: None,
            reader,
            wanted: false,
            closed: false,
            gone: false,
            leash: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// What both ends look at. A panic on the other side leaves nothing half-changed.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has come or it is known that nothing will, for `limit` at most. Whether it is known.
    pub(super) fn wait_for_news(&self, limit: Duration) -> bool {
        self.wait(limit, |state| state.has_begun || state.held.ended)
    }

    /// Says that somebody wants more, and that there may be room.
    pub(super) fn want(&self, state: &mut State) {
        state.wanted = true;
        self.changed.notify_all();
    }

    /// Adds what has come, when there is room.
    ///
    /// # Errors
    ///
    /// [`Stop::Closed`]; [`Stop::Rest`] if it `may_rest`.
    pub(super) fn push(&self, piece: Piece, fresh: bool, may_rest: bool) -> Result<(), Stop> {
        let since = Instant::now();
        let mut state = self.state();
        while state.held.is_full() && !state.closed {
            if may_rest && since.elapsed() > REST_AFTER {
                state.held.clear();
                state.wanted = false;
                return Err(Stop::Rest);
            }
            state = self.sleep(state, SLEEP_MAX);
        }
        if state.closed {
            return Err(Stop::Closed);
        }
        state.held.push(piece, fresh);
        state.has_begun = true;
        self.tell(&state);
        Ok(())
    }

    /// Waits until somebody asks.
    ///
    /// # Errors
    ///
    /// [`Stop::Closed`].
    pub(super) fn rest(&self) -> Result<(), Stop> {
        while !self.wait(SLEEP_MAX, |state| state.wanted || state.closed) {}
        self.check()
    }

    /// Waits for `pause` before another attempt.
    ///
    /// # Errors
    ///
    /// [`Stop::Closed`].
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Stop> {
        self.wait(pause, |state| state.closed);
        self.check()
    }

    /// No more will come, because of `fault` if there is one.
    pub(super) fn end(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.held.ended = true;
        state.fault = fault;
        self.tell(&state);
    }

    /// Holds `leash` to pull when nobody plays it any more.
    pub(super) fn hold(&self, leash: Option<Leash>) {
        let mut state = self.state();
        if state.closed
            && let Some(leash) = &leash
        {
            leash.pull(false);
        }
        state.leash = leash;
    }

    /// Who fetches is gone.
    pub(super) fn leave(&self) {
        self.state().gone = true;
        self.changed.notify_all();
    }

    /// Nobody plays it any more: ends what is waited for, and waits for that for `limit` at most if it is a program.
    pub(super) fn close(&self, limit: Duration) {
        let mut state = self.state();
        state.closed = true;
        self.changed.notify_all();
        let Some(leash) = &state.leash else { return };
        leash.pull(false);
        let Leash::Program(group) = *leash else { return };
        drop(state);
        if !self.wait(limit, |state| state.gone) {
            group.end(true);
        }
    }

    fn check(&self) -> Result<(), Stop> {
        if self.state().closed { Err(Stop::Closed) } else { Ok(()) }
    }

    fn tell(&self, state: &State) {
        self.changed.notify_all();
        if let Some(reader) = &state.reader {
            reader.unpark();
        }
    }

    fn wait(&self, limit: Duration, until: impl Fn(&State) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.state();
        while !until(&state) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.sleep(state, left);
        }
        true
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        let woken = self.changed.wait_timeout(state, limit);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}
