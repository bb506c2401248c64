//! An edge of the simulated world: the real follower on a clock of its own, behind a network to the origin.

use std::fmt;

use protocol::time::{ClientTime, ServerTime};
use server::sans_io::{Ask, Connection, Edge, House, Say};

use super::clock::SimClock;
use super::link::{Link, LinkProfile};
use super::origin::Origin;
use super::rng::Rng;

/// True time between two attempts to reach the origin, microseconds: a mean of those of the real one.
const RETRY_US: f64 = 700_000.0;
/// Bytes of a question.
const ASK_BYTES: usize = 200;

/// An edge and its network.
pub(super) struct SimEdge {
    name: String,
    clock: SimClock,
    edge: Edge,
    up: Link<Ask>,
    down: Link<Say>,
    retry_us: f64,
    /// Upheavals that its listeners have been told of.
    upheavals: u64,
    /// One chunk in this many is lost when it comes unasked; 0 means none is.
    loses_one_in: u64,
    rng: Rng,
}

impl fmt::Debug for SimEdge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimEdge").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl SimEdge {
    pub(super) fn new(name: String, clock: SimClock, link: LinkProfile, seed: u64) -> Self {
        let edge = Edge::new(&name, ClientTime::from_micros(clock.read(0.0)));
        Self {
            name,
            clock,
            edge,
            up: Link::new(link, Rng::new(seed ^ 0x7570)),
            down: Link::new(link, Rng::new(seed ^ 0x646f)),
            retry_us: 0.0,
            upheavals: 0,
            loses_one_in: 0,
            rng: Rng::new(seed),
        }
    }

    fn host(&self, true_us: f64) -> ClientTime {
        ClientTime::from_micros(self.clock.read(true_us))
    }

    /// The party's time, as this edge knows it.
    pub(super) fn now(&self, true_us: f64) -> Option<ServerTime> {
        self.edge.party_time(self.host(true_us))
    }

    /// The true time at which the party's time is `at`, about.
    pub(super) fn when(&self, true_us: f64, at: ServerTime) -> f64 {
        self.now(true_us).map_or(true_us, |now| true_us + (at - now).as_micros() as f64 + 1.0)
    }

    pub(super) fn accept(&self, true_us: f64) -> Option<Connection> {
        Some(self.edge.accept(self.now(true_us)?))
    }

    pub(super) fn house(&self) -> House<'_> {
        self.edge.house()
    }

    /// How far its idea of the origin's clock is off, microseconds.
    pub(super) fn clock_error_us(&self, true_us: f64, origin: &Origin) -> Option<f64> {
        Some((self.now(true_us)?.as_micros() as f64) - origin.now_us(true_us))
    }

    /// Whether its listeners were told since the last call that they have to come again.
    pub(super) fn take_upheaval(&mut self) -> bool {
        let upheavals = self.edge.upheavals();
        std::mem::replace(&mut self.upheavals, upheavals) != upheavals
    }

    /// Nothing passes between it and the origin until then.
    pub(super) fn hold(&mut self, until_us: f64) {
        self.up.hold(until_us);
        self.down.hold(until_us);
    }

    /// One chunk in this many is lost when it comes unasked.
    pub(super) fn lose(&mut self, one_in: u64) {
        self.loses_one_in = one_in;
    }

    /// The origin says something to it unasked, which may get lost.
    pub(super) fn push(&mut self, true_us: f64, say: Say) {
        let is_lost = self.loses_one_in > 0
            && say.is_chunk()
            && self.rng.bits().is_multiple_of(self.loses_one_in);
        if !is_lost {
            self.send(true_us, say);
        }
    }

    fn send(&mut self, true_us: f64, say: Say) {
        let bytes = say.bytes();
        self.down.send(true_us, say, bytes);
    }

    /// When something happens here next.
    pub(super) fn next_at(&self) -> f64 {
        let wake_us = self.clock.when(self.edge.wake().as_micros() as f64 + 1.0);
        let wake_us = if self.edge.wants_connection() { self.retry_us } else { wake_us };
        let links = [self.up.next_at(), self.down.next_at()];
        links.into_iter().flatten().fold(wake_us, f64::min)
    }

    /// Does what is due, and has `origin` answer what has arrived there.
    pub(super) fn run(&mut self, true_us: f64, origin: Option<&mut Origin>) {
        if self.edge.wants_connection() && true_us >= self.retry_us {
            self.up.cut();
            self.down.cut();
            self.retry_us = true_us + RETRY_US;
            let is_held = self.up.is_held(true_us);
            if origin.is_some() && !is_held {
                self.edge.handle_connected(self.host(true_us));
            }
        }
        if let Some(origin) = origin {
            while let Some(ask) = self.up.receive(true_us) {
                for say in origin.answer(true_us, &self.name, &ask) {
                    self.send(true_us, say);
                }
            }
        } else {
            self.up.cut();
            self.down.cut();
        }
        while let Some(say) = self.down.receive(true_us) {
            self.edge.handle(self.host(true_us), say);
        }
        if self.host(true_us) >= self.edge.wake() {
            self.edge.turn(self.host(true_us));
        }
        while let Some(ask) = self.edge.poll() {
            self.up.send(true_us, ask, ASK_BYTES);
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
