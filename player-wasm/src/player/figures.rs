//! What the player says of itself when asked.

use protocol::clock_sync::ClockSync;
use protocol::time::ClientTime;

use super::Player;
use super::stream::Stream;
use crate::output_clock::OutputClock;
use crate::stats::{Dialect, Stats};

impl Player {
    /// The player's figures at `now`.
    #[must_use]
    pub fn stats(&self, now: ClientTime) -> Stats {
        let now_us = now.as_micros() as f64;
        let stream = self.stream.as_ref();
        let output = self.output.as_ref();
        let sounding = stream.map(Stream::disturbances).unwrap_or_default();
        Stats {
            state: self.state,
            dialect: self.link.is_open().then_some(Dialect::Clear),
            codec: stream.map(|stream| stream.format().codec.as_str()),
            output: (!self.link.is_ended()).then_some(self.config.output),
            sync_error_us: stream
                .zip(output)
                .and_then(|(stream, output)| stream.sync_error_us(output, self.delay(), now_us)),
            clock_error_us: self.clock.as_ref().and_then(ClockSync::error_us),
            drift_ppm: stream.zip(output).and_then(|(stream, output)| stream.drift_ppm(output)),
            buffered_ms: stream.map_or(0.0, |stream| stream.buffered_ms(now_us)),
            output_latency_ms: output.and_then(OutputClock::latency_ms),
            round_trip_ms: self
                .clock
                .as_ref()
                .and_then(ClockSync::round_trip_us)
                .map(|us| us / 1e3),
            reanchors: self.past.jumps + sounding.jumps,
            underruns: self.past.underruns + sounding.underruns,
            late_chunks: self.late_chunks,
            output_rate_hz: output.map(OutputClock::rate_hz),
        }
    }
}
