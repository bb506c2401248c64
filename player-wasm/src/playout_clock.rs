//! Server time to client time to frames of the audio output. The only place where three clocks meet.
//!
//! Two estimates are chained: the mapping of the server's clock, which
//! [`clock_sync`](protocol::clock_sync) provides, and the mapping of the output's clock, which
//! [`OutputClock`] learns from what the browser reports. Positions are fractional: a frame is 21 µs, and
//! in step means a small part of one.

use protocol::audio::Timeline;
use protocol::time::{ClientClock, MICROS_PER_SECOND, ServerClock, ServerSpan};
use protocol::time_filter::ClockMapping;

use crate::output_clock::OutputClock;

/// Translates between the client's clock and the server's.
pub type ServerMapping = ClockMapping<ClientClock, ServerClock>;

/// Which stream frame belongs on which frame of the output: the three clocks and the stream's timeline.
#[derive(Clone, Copy, Debug)]
pub struct PlayoutClock<'a> {
    /// The server's clock.
    pub server: ServerMapping,
    /// The output's clock.
    pub output: &'a OutputClock,
    /// The stream.
    pub timeline: Timeline,
    /// How much later than the output the sound reaches the air, set by the listener.
    pub static_delay: ServerSpan,
}

impl PlayoutClock<'_> {
    /// The stream position, in frames, that must be heard when `frame` of the output is.
    #[must_use]
    pub fn due_at(&self, frame: f64) -> Option<f64> {
        let server_us = self.server.to_remote_us(self.output.heard_at_us(frame)?);
        let due_us = server_us + self.static_delay.as_micros() as f64;
        let since_start_us = due_us - self.timeline.start().as_micros() as f64;
        Some(since_start_us * f64::from(self.timeline.rate_hz()) / MICROS_PER_SECOND as f64)
    }

    /// The frame of the output, fractional, on which a stream position is due.
    #[must_use]
    pub fn frame_for(&self, position: f64) -> Option<f64> {
        let since_start_us =
            position * MICROS_PER_SECOND as f64 / f64::from(self.timeline.rate_hz());
        let due_us = self.timeline.start().as_micros() as f64 + since_start_us;
        let server_us = due_us - self.static_delay.as_micros() as f64;
        self.output.heard_frame(self.server.to_local_us(server_us))
    }

    /// Length of a stream frame, microseconds.
    #[must_use]
    pub fn micros_per_frame(&self) -> f64 {
        MICROS_PER_SECOND as f64 / f64::from(self.timeline.rate_hz())
    }

    /// Stream frames per output frame if all clocks were true.
    #[must_use]
    pub fn nominal_ratio(&self) -> f64 {
        f64::from(self.timeline.rate_hz()) / f64::from(self.output.rate_hz())
    }

    /// How much faster the server's clock runs than the output's, ppm.
    #[must_use]
    pub fn drift_ppm(&self) -> f64 {
        self.server.drift() * 1e6 - self.output.drift_ppm()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output_clock::DeviceReading;
    use protocol::time::{ClientTime, ServerTime};

    /// An output that began at client time 1 s and runs true.
    fn output() -> OutputClock {
        let reading = |now: i64| DeviceReading {
            rate_hz: 48_000,
            rendered_s: now as f64 * 1e-6 - 0.970,
            output_timestamp: Some((now as f64 * 1e-6 - 1.0, ClientTime::from_micros(now))),
            latency_s: Some(0.030),
        };
        let mut clock = OutputClock::new(ClientTime::from_micros(1_500_000), &reading(1_500_000));
        for now in (1_550_000..3_500_000).step_by(50_000) {
            clock.handle_reading(ClientTime::from_micros(now), &reading(now));
        }
        clock
    }

    #[test]
    fn due_and_frame_are_inverse() {
        let output = output();
        let clock = PlayoutClock {
            server: ServerMapping::new(ClientTime::from_micros(2_000_000), 7e9, 120e-6),
            output: &output,
            timeline: Timeline::new(ServerTime::from_micros(7_001_000_000), 44_100),
            static_delay: ServerSpan::from_millis(80),
        };
        let position = clock.due_at(100_000.0).unwrap();
        let frame = clock.frame_for(position).unwrap();
        assert!((frame - 100_000.0).abs() < 1e-3, "frame {frame}");
        // Frame 96,000 is heard at client 3 s, which is server 7,003.000120 s; 80 ms more are due.
        let expected = (7_003_000_120.0 + 80_000.0 - 7_001_000_000.0) * 0.0441;
        assert!((clock.due_at(96_000.0).unwrap() - expected).abs() < 1e-3);
    }
}
