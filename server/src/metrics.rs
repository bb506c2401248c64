//! What the server counts, for those who run it. Each is read at `/metrics` and nowhere else.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelValue;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// Bounds of the send lateness, seconds: a timer's granularity, a busy core, a stall that listeners notice.
const LATENESS_S: [f64; 9] = [0.001, 0.002, 0.005, 0.010, 0.025, 0.050, 0.100, 0.500, 2.000];

type Seconds = Counter<f64, AtomicU64>;

/// Why a connection of a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Leave {
    /// The client went, with a goodbye or without.
    Left,
    /// A newer connection of the same client took its place.
    Replaced,
    /// The client broke the protocol, or a limit.
    Refused,
    /// Nothing was heard of the client.
    Silent,
    /// The client did not read what it was sent.
    Stalled,
    /// The server goes down.
    Shutdown,
    /// The party began anew, on another clock.
    Evicted,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Refused {
    /// All places were taken.
    Full,
    /// Its address had enough connections.
    Address,
    /// The page is of another site.
    Origin,
}

/// The label of what is counted by reason.
type For<R> = [(&'static str, R); 1];

/// What is not counted, but looked up when somebody asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    /// Clients of this process with an active player.
    pub(crate) listeners: usize,
    /// The same of the whole party.
    pub(crate) party: usize,
    /// The party's clock, seconds.
    pub(crate) clock_s: f64,
    /// The party's clock less this host's, seconds.
    pub(crate) clock_offset_s: f64,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    listeners: Gauge,
    party: Gauge,
    clock: Gauge<f64, AtomicU64>,
    clock_offset: Gauge<f64, AtomicU64>,
    /// Edges that follow this origin.
    pub(crate) edges: Gauge,
    /// Clients that said hello.
    pub(crate) joins: Counter,
    leaves: Family<For<Leave>, Counter>,
    refused: Family<For<Refused>, Counter>,
    /// Chunks that were handed to the system, and their bytes.
    pub(crate) chunks: Counter,
    pub(crate) bytes: Counter,
    /// Chunks that were left out because they would have come too late.
    pub(crate) skipped: Counter,
    /// Bytes that sockets have not taken yet, of all connections.
    pub(crate) unsent: Gauge,
    /// How much later than planned a chunk was handed to the system, seconds.
    pub(crate) lateness: Histogram,
    /// `client/time` that were answered.
    pub(crate) time_replies: Counter,
    /// Time that reading the source and cutting it took, in which decoding is most of it.
    pub(crate) decoding: Seconds,
    /// Time that making bytes of chunks took.
    pub(crate) encoding: Seconds,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("partyline");
        let it = &mut registry;
        let lateness = Histogram::new(LATENESS_S);
        Self {
            listeners: counted(it, "listeners", "Clients of this process with an active player"),
            party: counted(it, "party_listeners", "The same of the whole party"),
            clock: measured(it, "clock", "The clock that chunks are stamped by", Unit::Seconds),
            clock_offset: measured(
                it,
                "clock_offset",
                "The party's clock less this host's",
                Unit::Seconds,
            ),
            edges: counted(it, "edges", "Edges that follow this origin"),
            joins: counted(it, "joins", "Clients that said hello"),
            leaves: counted(it, "leaves", "Clients that are gone, by why"),
            refused: counted(it, "refused", "Connections that were not let in"),
            chunks: counted(it, "chunks_sent", "Chunks handed to the system"),
            bytes: measured(it, "audio_sent", "Chunks with their headers", Unit::Bytes),
            skipped: counted(it, "chunks_skipped", "Chunks left out as too late"),
            unsent: measured(it, "unsent", "What waits for sockets of slow peers", Unit::Bytes),
            time_replies: counted(it, "time_replies", "Answers to client/time"),
            decoding: measured(it, "decoding", "Reading and decoding sources", Unit::Seconds),
            encoding: measured(it, "encoding", "Making bytes of chunks", Unit::Seconds),
            lateness: {
                let help = "From the moment planned for a chunk until the system had it";
                let unit = Unit::Seconds;
                it.register_with_unit("send_lateness", help, unit, lateness.clone());
                lateness
            },
            registry,
        }
    }
}

/// A new metric that is read under `name`.
fn counted<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// The same with a unit, which becomes a part of the name.
fn measured<M: Metric + Clone + Default>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    unit: Unit,
) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

impl Metrics {
    /// Counts the end of a client's connection.
    pub(crate) fn leave(&self, reason: Leave) {
        self.leaves.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts somebody who was not let in. Returns whether it is the first for that reason, who is worth a line in the log.
    pub(crate) fn refuse(&self, reason: Refused) -> bool {
        self.refused.get_or_create(&[("reason", reason)]).inc() == 0
    }

    /// All of it as Prometheus reads it (the text format of `OpenMetrics` 1.0), with what is true right now.
    pub(crate) fn text(&self, now: Present) -> String {
        self.listeners.set(i64::try_from(now.listeners).unwrap_or(i64::MAX));
        self.party.set(i64::try_from(now.party).unwrap_or(i64::MAX));
        self.clock.set(now.clock_s);
        self.clock_offset.set(now.clock_offset_s);
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            // Nothing but the memory for it could fail.
            let _ = writeln!(text, "# {error}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::default();
        metrics.leave(Leave::Stalled);
        assert!(metrics.refuse(Refused::Full) && !metrics.refuse(Refused::Full));
        metrics.lateness.observe(0.0015);
        let text =
            metrics.text(Present { listeners: 3, party: 5, clock_s: 2.5, clock_offset_s: 0.0 });
        for line in [
            "partyline_listeners 3",
            "partyline_party_listeners 5",
            "partyline_clock_seconds 2.5",
            "partyline_leaves_total{reason=\"Stalled\"} 1",
            "partyline_refused_total{reason=\"Full\"} 2",
            "partyline_send_lateness_seconds_bucket{le=\"0.002\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
