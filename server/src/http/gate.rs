//! Who may come in: connections are counted, in total and by address, before anything they say is read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Refused;

/// Connections beyond the listeners' that may be open: pages that load, status polls, and those who have not said hello.
const VISITORS_MAX: usize = 1_000;

/// Most connections at a time with so many listeners.
#[must_use]
pub const fn connections_max(listeners: usize) -> usize {
    listeners.saturating_add(VISITORS_MAX)
}

/// How many may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Listeners in total.
    pub(crate) listeners: usize,
    /// Connections of one address. This machine's own are not limited by it: they are those of a reverse proxy.
    pub(crate) per_address: usize,
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are as many as there may be.
    Full,
    /// This address has as many as it may have.
    Address,
}

impl Refusal {
    /// For the person who reads it.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Full => "the party is full; try again later",
            Self::Address => "too many connections from this address; close some",
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Self::Full,
            Refusal::Address => Self::Address,
        }
    }
}

/// Counts who is in.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    listeners: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Gate {
    /// Nobody is in.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, counts: Mutex::default() }
    }

    /// Lets a connection from `address` in, until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Pass, Refusal> {
        let address = network(address);
        let mut counts = self.lock();
        if counts.connections >= connections_max(self.limits.listeners) {
            return Err(Refusal::Full);
        }
        let of_address = counts.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.limits.per_address && !address.is_loopback() {
            return Err(Refusal::Address);
        }
        counts.by_address.insert(address, of_address + 1);
        counts.connections += 1;
        Ok(Pass { gate: Arc::clone(self), address })
    }

    /// Lets one more listener in, until what is returned is dropped.
    pub(crate) fn listen(self: &Arc<Self>) -> Result<Place, Refusal> {
        let mut counts = self.lock();
        if counts.listeners >= self.limits.listeners {
            return Err(Refusal::Full);
        }
        counts.listeners += 1;
        Ok(Place { gate: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: a household has a whole network of the newer kind, of 64 bits (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into())
        }
        other => other,
    }
}

/// A connection that is in.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.lock();
        counts.connections -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// A listener's place.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.lock().listeners -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Arc<Gate> {
        Arc::new(Gate::new(Limits { listeners: 2, per_address: 3 }))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_cannot_take_everything() {
        let gate = gate();
        let mut inside: Vec<Pass> =
            (0..3).map(|_| gate.enter(address("192.0.2.1")).expect("room")).collect();
        assert_eq!(gate.enter(address("192.0.2.1")).err(), Some(Refusal::Address));
        // The same one, written as the newer kind.
        assert_eq!(gate.enter(address("::ffff:192.0.2.1")).err(), Some(Refusal::Address));
        assert!(gate.enter(address("192.0.2.2")).is_ok());
        inside.pop();
        assert!(gate.enter(address("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let gate = gate();
        let _inside: Vec<Pass> = (0..3)
            .map(|host| gate.enter(address(&format!("2001:db8::{host}"))).expect("room"))
            .collect();
        assert_eq!(gate.enter(address("2001:db8::ffff")).err(), Some(Refusal::Address));
        assert!(gate.enter(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn a_proxy_on_this_machine_brings_everybody() {
        let gate = gate();
        let inside: Vec<_> = (0..VISITORS_MAX + 2).map(|_| gate.enter(address("::1"))).collect();
        assert!(inside.iter().all(Result::is_ok));
        assert_eq!(gate.enter(address("127.0.0.1")).err(), Some(Refusal::Full));
        drop(inside);
        let counts = gate.lock();
        assert_eq!((counts.connections, counts.by_address.len()), (0, 0));
    }

    #[test]
    fn listeners_have_a_limit_of_their_own() {
        let gate = gate();
        let first = gate.listen().expect("room");
        let _second = gate.listen().expect("room");
        assert_eq!(gate.listen().err(), Some(Refusal::Full));
        drop(first);
        assert!(gate.listen().is_ok());
    }
}
