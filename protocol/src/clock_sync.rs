//! When to ask for the server's time and which answers to trust.
//!
//! Sans-IO: [`ClockSync`] sends nothing and reads no clock. Feed it replies and the current time, then
//! drain [`ClockSync::poll_output`] until it returns [`Output::Timeout`].
//!
//! Exchanges come in bursts of eight, one outstanding at a time: at once after each other in the beginning,
//! then further and further apart. After each burst the [`Envelope`] of all recent exchanges gives a new
//! mapping.
//!
//! Here: cadence, validity of replies. Not here: message encoding ([`message`](crate::message)), the
//! estimate ([`envelope`](crate::envelope)).
//!
//! Source: exchange and bursts as in the Sendspin wire reference, section 4. Its filter (section 4.2, our
//! [`time_filter`](crate::time_filter)) fed with the best of each eight is what this is measured against.

use std::collections::VecDeque;

use thiserror::Error;

use crate::envelope::{Envelope, Exchange, Fit};
use crate::message::ServerTimeReply;
use crate::time::{ClientClock, ClientSpan, ClientTime, ServerClock};
use crate::time_filter::ClockMapping;

/// Exchanges in a burst (section 4.3).
const BURST: usize = 8;
/// Longest pause between bursts (section 4.3).
const BURST_PAUSE_MAX: ClientSpan = ClientSpan::from_secs(10);
/// Longest pause between bursts while the estimate is worse than [`GOOD_ERROR_US`].
const BURST_PAUSE_BAD: ClientSpan = ClientSpan::from_secs(1);
/// See [`BURST_PAUSE_BAD`].
const GOOD_ERROR_US: f64 = 40.0;
/// The pause is this part of the time since the start: the error of the drift shrinks with the time
/// observed, so what it adds during a pause stays small. Bursts follow each other at once in the
/// beginning and reach [`BURST_PAUSE_MAX`] after five minutes, 1,400 exchanges in ten.
const BURST_PAUSE_PART: i64 = 32;
/// Shortest time between two requests: on a fast network more exchanges say nothing new, and the server
/// answers every one of a thousand clients.
const PROBE_SPACING: ClientSpan = ClientSpan::from_millis(10);
/// A request without reply for this long is given up. The connection is TCP: nothing is lost, but what
/// was stuck that long says nothing about the clock.
const REPLY_WAIT: ClientSpan = ClientSpan::from_secs(2);

/// So long after the start, and while the error is above [`EAGER_ERROR_US`], requests do not wait for replies, up to [`OUTSTANDING_EAGER`], and the estimate is made
/// anew after every [`EAGER_REPLIES`].
const EAGER: ClientSpan = ClientSpan::from_secs(5);
/// See [`EAGER`].
const EAGER_ERROR_US: f64 = 50.0;
/// See [`EAGER`].
const OUTSTANDING_EAGER: usize = 12;
/// Requests that do not wait for replies are this part of a round trip apart: closer ones would wait behind each
/// other in the same queues, and say the same.
const SPACING_PART: i64 = 4;
/// See [`EAGER`].
const EAGER_REPLIES: usize = 4;
/// A request that is sent this late tells that the page was asleep, and maybe its clock as well.
const OVERSLEPT: ClientSpan = ClientSpan::from_secs(2);

/// What the caller must do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// Send `client/time` with this stamp, now.
    SendTime {
        /// Value of the `client_transmitted` field.
        client_transmitted: ClientTime,
    },
    /// The server's clock is known better than before.
    Mapping(ClockMapping<ClientClock, ServerClock>),
    /// Drained. Call [`ClockSync::handle_timeout`] no later than this.
    Timeout(ClientTime),
}

/// Why a reply was not used. The state is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// It answers no outstanding request.
    #[error("time reply without a request")]
    Unsolicited,
    /// Its stamps are impossible: it would have arrived before it was asked for.
    #[error("time reply with impossible stamps: round trip of {round_trip_us} us")]
    NegativeRoundTrip {
        /// What the stamps say.
        round_trip_us: i64,
    },
}

/// Sans-IO comparison of the client's clock with the server's, for one connection.
#[derive(Debug)]
pub struct ClockSync {
    is_open: bool,
    /// Longest pause between bursts.
    pause_max: ClientSpan,
    started: ClientTime,
    probe_at: ClientTime,
    /// Requests without a reply, oldest first.
    outstanding: VecDeque<ClientTime>,
    /// Most that may be without a reply.
    outstanding_max: usize,
    /// Time between requests that do not wait for each other.
    spacing: ClientSpan,
    /// Requests of the present burst.
    asked: usize,
    /// Replies since the start.
    replies: usize,
    envelope: Envelope,
    fit: Option<(ClientTime, Fit)>,
    outputs: VecDeque<Output>,
}

impl ClockSync {
    /// Starts unsynchronized, with the first request due at `now`.
    #[must_use]
    pub fn new(now: ClientTime) -> Self {
        Self {
            is_open: true,
            pause_max: BURST_PAUSE_MAX,
            started: now,
            probe_at: now,
            outstanding: VecDeque::with_capacity(OUTSTANDING_EAGER),
            outstanding_max: OUTSTANDING_EAGER,
            spacing: ClientSpan::ZERO,
            asked: 0,
            replies: 0,
            envelope: Envelope::default(),
            fit: None,
            outputs: VecDeque::new(),
        }
    }

    /// The same, with bursts that are never further apart than `pause_max`. For one whose error is that of many others.
    #[must_use]
    pub fn keen(now: ClientTime, pause_max: ClientSpan) -> Self {
        Self { pause_max, ..Self::new(now) }
    }

    /// The connection is gone: nothing more is asked, and the server's clock is not known.
    pub fn close(&mut self) {
        self.is_open = false;
        self.outstanding.clear();
        self.fit = None;
    }

    /// A new connection at `now`. What was learned is kept: the same server still has the same clock, whatever
    /// way the messages take now, and the first replies of another one contradict all of it.
    pub fn reopen(&mut self, now: ClientTime) {
        self.close();
        self.is_open = true;
        self.hurry(now);
    }

    /// Asks at once, and as often as in the beginning: something happened that may have moved a clock.
    pub fn hurry(&mut self, now: ClientTime) {
        self.started = now;
        self.outstanding_max = OUTSTANDING_EAGER;
        self.asked = 0;
        self.replies = 0;
        self.probe_at = now;
    }

    /// The client's clock was found to have jumped: what is known is void, but for the drift.
    pub fn forget(&mut self, now: ClientTime) {
        self.envelope.forget();
        self.outstanding.clear();
        self.fit = None;
        self.hurry(now);
    }

    /// Advances time. Calling early or twice is harmless.
    ///
    /// A request that is unanswered by then is given up and the next one is sent.
    pub fn handle_timeout(&mut self, now: ClientTime) {
        let late = now - self.deadline();
        if late < ClientSpan::ZERO || !self.is_open {
            return;
        }
        if late > OVERSLEPT {
            self.hurry(now);
        }
        self.outstanding.retain(|&sent| now - sent < REPLY_WAIT);
        // In the beginning several: on a slow network the replies would be long in coming.
        let is_eager = self.is_eager(now);
        self.outstanding_max = if is_eager { OUTSTANDING_EAGER } else { 1 };
        if now < self.probe_at || self.outstanding.len() >= self.outstanding_max {
            return;
        }
        self.outstanding.push_back(now);
        self.outputs.push_back(Output::SendTime { client_transmitted: now });
        self.asked += 1;
        self.probe_at = now + PROBE_SPACING.max(self.spacing);
        if self.asked == BURST {
            self.asked = 0;
            let pause =
                ClientSpan::from_micros((now - self.started).as_micros() / BURST_PAUSE_PART);
            let is_good = self.error_us().is_some_and(|error_us| error_us < GOOD_ERROR_US);
            let pause_max = if is_good { self.pause_max } else { BURST_PAUSE_BAD };
            self.probe_at = self.probe_at.max(now + pause.min(pause_max));
        }
    }

    fn is_eager(&self, now: ClientTime) -> bool {
        let is_good = self.error_us().is_some_and(|error_us| error_us < EAGER_ERROR_US);
        now - self.started < EAGER && !is_good
    }

    /// The request that was to be sent at `asked` left at `sent`, and carries that stamp instead: half of what lies between
    /// them would be an error of the clock.
    pub fn handle_sent(&mut self, asked: ClientTime, sent: ClientTime) {
        if let Some(stamp) = self.outstanding.iter_mut().find(|stamp| **stamp == asked) {
            *stamp = sent;
        }
    }

    /// Takes a `server/time` message that arrived at `now`.
    ///
    /// `now` must be the arrival time of the WebSocket frame, read before it was parsed: half of any
    /// lateness becomes an error of the clock.
    ///
    /// # Errors
    ///
    /// [`ReplyError`] when the reply answers no outstanding request or its stamps are impossible.
    pub fn handle_time_reply(
        &mut self,
        now: ClientTime,
        reply: ServerTimeReply,
    ) -> Result<(), ReplyError> {
        let asked = self.outstanding.iter().position(|&sent| sent == reply.client_transmitted);
        let Some(asked) = asked else {
            return Err(ReplyError::Unsolicited);
        };
        self.outstanding.remove(asked);
        let away = (now - reply.client_transmitted).as_micros();
        let there = (reply.server_transmitted - reply.server_received).as_micros();
        let round_trip_us = away.saturating_sub(there);
        if round_trip_us < 0 || there < 0 {
            return Err(ReplyError::NegativeRoundTrip { round_trip_us });
        }
        let received = reply.server_received.as_micros() as f64;
        let transmitted = reply.server_transmitted.as_micros() as f64;
        self.envelope.push(Exchange {
            requested: reply.client_transmitted,
            upper_us: received - reply.client_transmitted.as_micros() as f64,
            replied: now,
            lower_us: transmitted - now.as_micros() as f64,
        });
        self.replies += 1;
        self.spacing = ClientSpan::from_micros(round_trip_us / SPACING_PART);
        let burst_is_over = self.asked == 0 && self.outstanding.is_empty();
        let is_eager = self.is_eager(now) && self.replies.is_multiple_of(EAGER_REPLIES);
        // In the beginning every exchange makes a difference.
        if (burst_is_over || is_eager)
            && let Some(fit) = self.envelope.fit(now)
        {
            self.fit = Some((now, fit));
            self.outputs.extend(self.mapping().map(Output::Mapping));
        }
        Ok(())
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> ClientTime {
        if !self.is_open {
            return ClientTime::from_micros(i64::MAX);
        }
        match self.outstanding.front() {
            Some(&oldest) if self.outstanding.len() >= self.outstanding_max => oldest + REPLY_WAIT,
            _ => self.probe_at,
        }
    }

    /// Next thing for the caller to do. Ends with [`Output::Timeout`].
    #[must_use]
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    /// The best translation so far; `None` before the first burst is complete.
    #[must_use]
    pub fn mapping(&self) -> Option<ClockMapping<ClientClock, ServerClock>> {
        self.fit.map(|(at, fit)| ClockMapping::new(at, fit.offset_us, fit.drift))
    }

    /// Standard error of the server's clock at the last burst, microseconds; `None` before the first.
    #[must_use]
    pub fn error_us(&self) -> Option<f64> {
        self.fit.map(|(_, fit)| fit.error_us)
    }

    /// Shortest round trip of the recent exchanges, microseconds; `None` before the first.
    #[must_use]
    pub fn round_trip_us(&self) -> Option<f64> {
        self.envelope.round_trip_us()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ServerTime;
    use crate::time_filter::{Reading, TimeFilter};
    use proptest::prelude::*;

    /// A network with queues each way that have nothing to do with each other, of up to 10 ms unless said otherwise.
    struct Network {
        seed: u64,
        delay_us_max: f64,
        offset_us: f64,
        drift: f64,
    }

    impl Network {
        fn new(seed: u64) -> Self {
            let mut network = Self { seed, delay_us_max: 10_000.0, offset_us: 0.0, drift: 0.0 };
            network.offset_us = network.unit() * 1e12;
            network.drift = (network.unit() - 0.5) * 400e-6;
            network
        }

        fn unit(&mut self) -> f64 {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn offset_at(&self, client: ClientTime) -> f64 {
            self.offset_us + self.drift * client.as_micros() as f64
        }

        /// The reply to a request that leaves now, and when it arrives.
        fn exchange(&mut self, sent: ClientTime) -> (ClientTime, ServerTimeReply) {
            let mut delay = || ClientSpan::from_micros((self.unit() * self.delay_us_max) as i64);
            let there = sent + delay();
            let back = there + delay();
            let server = there.as_micros() + self.offset_at(there) as i64;
            let server = ServerTime::from_micros(server);
            let reply = ServerTimeReply {
                client_transmitted: sent,
                server_received: server,
                server_transmitted: server,
            };
            (back, reply)
        }
    }

    /// Answers every request for `seconds`; hands every exchange to `seen`.
    fn run(
        network: &mut Network,
        seconds: i64,
        mut seen: impl FnMut(ClientTime, ServerTimeReply),
    ) -> ClockSync {
        let mut now = ClientTime::from_micros(1_000_000);
        let end = now + ClientSpan::from_secs(seconds);
        let mut sync = ClockSync::new(now);
        let mut under_way: VecDeque<(ClientTime, ServerTimeReply)> = VecDeque::new();
        while now < end {
            sync.handle_timeout(now);
            let wake = loop {
                match sync.poll_output() {
                    Output::SendTime { client_transmitted } => {
                        let (arrived, reply) = network.exchange(client_transmitted);
                        let before = under_way.back().map_or(arrived, |(at, _)| *at);
                        under_way.push_back((arrived.max(before), reply));
                    }
                    Output::Mapping(_) => {}
                    Output::Timeout(at) => break at,
                }
            };
            match under_way.front() {
                Some(&(at, reply)) if at <= wake => {
                    now = at;
                    under_way.pop_front();
                    sync.handle_time_reply(now, reply).unwrap();
                    seen(now, reply);
                }
                _ => now = wake,
            }
        }
        sync
    }

    fn error_us(
        mapping: ClockMapping<ClientClock, ServerClock>,
        network: &Network,
        at: ClientTime,
    ) -> f64 {
        let at_us = at.as_micros() as f64;
        (mapping.to_remote_us(at_us) - at_us - network.offset_at(at)).abs()
    }

    /// The error that all but one in a hundred stay below.
    fn p99(mut errors: Vec<f64>) -> f64 {
        errors.sort_by(f64::total_cmp);
        errors[errors.len() * 99 / 100]
    }

    #[test]
    fn beats_the_best_of_eight_through_the_filter() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for seed in 0..100 {
            let mut network = Network::new(seed);
            let mut filter: TimeFilter<ClientClock, ServerClock> = TimeFilter::default();
            let mut burst: Vec<(ClientTime, f64, f64)> = Vec::new();
            let sync = run(&mut network, 60, |now, reply| {
                let up = (reply.server_received.as_micros() - reply.client_transmitted.as_micros())
                    as f64;
                let down = (reply.server_transmitted.as_micros() - now.as_micros()) as f64;
                burst.push((now, f64::midpoint(up, down), (up - down) / 2.0));
                if burst.len() == BURST {
                    let (at, offset_us, max_error_us) =
                        burst.drain(..).min_by(|a, b| a.2.total_cmp(&b.2)).unwrap();
                    filter.update(Reading { offset_us, max_error_us, at });
                }
            });
            let at = ClientTime::from_micros(62_000_000);
            ours.push(error_us(sync.mapping().unwrap(), &network, at));
            theirs.push(error_us(filter.mapping().unwrap(), &network, at));
        }
        let (ours, theirs) = (p99(ours), p99(theirs));
        assert!(ours < 200.0, "p99 after a minute is {ours} us");
        assert!(ours < theirs / 2.0, "{ours} us against {theirs} us of the same exchanges");
    }

    #[test]
    fn the_first_burst_is_enough_to_begin() {
        let mut network = Network::new(1);
        let sync = run(&mut network, 1, |_, _| {});
        assert!(sync.mapping().is_some());
        assert!(sync.error_us().unwrap() < 1_000.0);
        assert!(sync.round_trip_us().unwrap() < 10_000.0);
    }

    /// Exchanges in the last of ten minutes.
    fn late_rate(network: &mut Network) -> usize {
        let mut exchanges = Vec::new();
        run(network, 600, |now, _| exchanges.push(now));
        exchanges.iter().filter(|at| at.as_micros() > 541_000_000).count()
    }

    #[test]
    fn requests_thin_out_to_a_burst_in_ten_seconds() {
        let mut network = Network { delay_us_max: 500.0, ..Network::new(2) };
        let in_a_minute = late_rate(&mut network);
        assert!((40..=56).contains(&in_a_minute), "{in_a_minute} exchanges in a minute");
    }

    #[test]
    fn a_bad_network_is_asked_more_often_and_at_most_a_burst_in_a_second() {
        let in_a_minute = late_rate(&mut Network::new(2));
        assert!((57..=480).contains(&in_a_minute), "{in_a_minute} exchanges in a minute");
    }

    #[test]
    fn a_reply_that_was_not_asked_for_changes_nothing() {
        let now = ClientTime::from_micros(5_000_000);
        let mut sync = ClockSync::new(now);
        sync.handle_timeout(now);
        assert_eq!(sync.poll_output(), Output::SendTime { client_transmitted: now });
        let server = ServerTime::from_micros(0);
        let strange = ServerTimeReply {
            client_transmitted: now + ClientSpan::from_micros(1),
            server_received: server,
            server_transmitted: server,
        };
        assert_eq!(sync.handle_time_reply(now, strange), Err(ReplyError::Unsolicited));
        assert_eq!(sync.mapping(), None);
    }

    #[test]
    fn impossible_stamps_are_refused_and_the_next_request_is_due() {
        let now = ClientTime::from_micros(5_000_000);
        let mut sync = ClockSync::new(now);
        sync.handle_timeout(now);
        let reply = ServerTimeReply {
            client_transmitted: now,
            server_received: ServerTime::from_micros(0),
            server_transmitted: ServerTime::from_micros(9_000),
        };
        let arrived = now + ClientSpan::from_millis(1);
        assert_eq!(
            sync.handle_time_reply(arrived, reply),
            Err(ReplyError::NegativeRoundTrip { round_trip_us: -8_000 })
        );
        assert_eq!(sync.deadline(), now + PROBE_SPACING);
    }

    #[test]
    fn unanswered_requests_are_given_up() {
        let mut now = ClientTime::from_micros(5_000_000);
        let mut sync = ClockSync::new(now);
        let mut sent = Vec::new();
        while sent.len() < OUTSTANDING_EAGER {
            sync.handle_timeout(now);
            match sync.poll_output() {
                Output::SendTime { client_transmitted } => sent.push(client_transmitted),
                Output::Timeout(at) => now = at,
                Output::Mapping(_) => panic!("nothing is known"),
            }
        }
        assert_eq!(sync.poll_output(), Output::Timeout(sent[0] + REPLY_WAIT));
        let later = sent[OUTSTANDING_EAGER - 1] + REPLY_WAIT;
        sync.handle_timeout(later);
        assert_eq!(sync.poll_output(), Output::SendTime { client_transmitted: later });
    }

    #[test]
    fn a_closed_connection_is_not_asked_and_a_new_one_at_once() {
        let mut network = Network::new(3);
        let mut sync = run(&mut network, 60, |_, _| {});
        sync.close();
        assert_eq!((sync.mapping(), sync.error_us()), (None, None));
        let now = ClientTime::from_micros(65_000_000);
        sync.handle_timeout(now);
        assert_eq!(sync.poll_output(), Output::Timeout(ClientTime::from_micros(i64::MAX)));
        sync.reopen(now);
        sync.handle_timeout(now);
        assert_eq!(sync.poll_output(), Output::SendTime { client_transmitted: now });
    }

    proptest! {
        #[test]
        fn survives_any_stamps_a_server_can_send(rows in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i64>()), 1..40)) {
            let mut sync = ClockSync::new(ClientTime::from_micros(0));
            for (now, received, transmitted) in rows {
                let now = ClientTime::from_micros(now);
                sync.handle_timeout(now);
                if let Output::SendTime { client_transmitted } = sync.poll_output() {
                    let _ = sync.handle_time_reply(now, ServerTimeReply {
                        client_transmitted,
                        server_received: ServerTime::from_micros(received),
                        server_transmitted: ServerTime::from_micros(transmitted),
                    });
                }
            }
        }
    }
}
