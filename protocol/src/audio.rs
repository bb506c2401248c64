//! Audio formats, frame indices, and the timeline that maps frames to server time.
//!
//! Invariant: no code adds up durations to get a time. At 44.1 kHz no chunk is a whole number of
//! microseconds, so sums of rounded durations drift; a time always comes from an absolute frame index.

use serde::{Deserialize, Serialize};

use crate::time::{MICROS_PER_SECOND, ServerSpan, ServerTime};

/// How the audio of a chunk is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Interleaved little-endian two's complement samples (wire reference 7.1).
    Pcm,
    /// One or more whole FLAC frames in a chunk (7.2).
    Flac,
    /// One raw Opus packet in a chunk (7.3).
    Opus,
}

impl Codec {
    /// The codec's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pcm => "pcm",
            Self::Flac => "flac",
            Self::Opus => "opus",
        }
    }
}

/// What a client can play, or what a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AudioFormat {
    /// Encoding.
    pub codec: Codec,
    /// Channels in a frame.
    pub channels: u8,
    /// Frames per second.
    pub sample_rate: u32,
    /// Bits in a sample. Opus states 16 and means nothing by it.
    pub bit_depth: u8,
}

impl AudioFormat {
    /// Bytes in one frame of uncompressed audio of this shape. 24-bit samples are packed.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        self.channels as usize * (self.bit_depth as usize).div_ceil(8)
    }
}

/// Position in a stream, counted in frames from the stream's first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameIndex(pub i64);

/// Where each frame of a stream lies on the server's clock.
///
/// A stream starts at one server time and goes on at one rate. Both ends use the same arithmetic: the
/// server to stamp chunks, the player to find the index of a chunk from its stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    start: ServerTime,
    rate_hz: u32,
}

impl Timeline {
    /// A timeline whose frame 0 is heard at `start`.
    ///
    /// `rate_hz` is in frames per second; 0 counts as 1, so that a hostile peer cannot cause a division
    /// by zero.
    #[must_use]
    pub const fn new(start: ServerTime, rate_hz: u32) -> Self {
        Self { start, rate_hz: if rate_hz == 0 { 1 } else { rate_hz } }
    }

    /// When frame 0 is heard.
    #[must_use]
    pub const fn start(&self) -> ServerTime {
        self.start
    }

    /// Frames per second, at least 1.
    #[must_use]
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// When `frame` is heard, rounded down to a whole microsecond.
    #[must_use]
    pub fn time_of(&self, frame: FrameIndex) -> ServerTime {
        self.start + self.duration_of(frame.0)
    }

    /// The frame whose time is nearest to `time`.
    ///
    /// For any `frame` whose time is in range, `frame_at(time_of(frame))` is `frame` at every rate up to
    /// 500 kHz: rounding to the microsecond is less than half a frame.
    #[must_use]
    pub fn frame_at(&self, time: ServerTime) -> FrameIndex {
        let rate = i128::from(self.rate_hz);
        let ahead = i128::from((time - self.start).as_micros());
        // Half a frame in doubled units, so that the division rounds to the nearest.
        let doubled = 2 * ahead * rate + i128::from(MICROS_PER_SECOND);
        FrameIndex(saturate(doubled.div_euclid(2 * i128::from(MICROS_PER_SECOND))))
    }

    /// How long `frames` last, rounded down to a whole microsecond.
    #[must_use]
    pub fn duration_of(&self, frames: i64) -> ServerSpan {
        let micros = i128::from(frames) * i128::from(MICROS_PER_SECOND);
        ServerSpan::from_micros(saturate(micros.div_euclid(i128::from(self.rate_hz))))
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_at_44100_hz_does_not_drift() {
        let timeline = Timeline::new(ServerTime::from_micros(123_456_789), 44_100);
        let day = FrameIndex(44_100 * 86_400);
        assert_eq!(timeline.time_of(day) - timeline.start(), ServerSpan::from_secs(86_400));
        // Chunks of 1,102 frames are 24,988.66 µs: the millionth one is where it must be.
        let frame = FrameIndex(1_102 * 1_000_000);
        let due = 1_102_i64 * 1_000_000 * 10_000 / 441;
        assert_eq!((timeline.time_of(frame) - timeline.start()).as_micros(), due);
    }

    #[test]
    fn packed_24_bit_frames_have_six_bytes() {
        let format =
            AudioFormat { codec: Codec::Pcm, channels: 2, sample_rate: 48_000, bit_depth: 24 };
        assert_eq!(format.frame_bytes(), 6);
    }

    proptest! {
        #[test]
        fn a_stamp_leads_back_to_its_frame(
            start in -1_000_000_000_000_i64..1_000_000_000_000,
            rate in prop::sample::select(vec![8_000_u32, 44_100, 48_000, 88_200, 96_000, 192_000, 384_000]),
            frame in 0_i64..100_000_000_000,
        ) {
            let timeline = Timeline::new(ServerTime::from_micros(start), rate);
            prop_assert_eq!(timeline.frame_at(timeline.time_of(FrameIndex(frame))), FrameIndex(frame));
        }

        #[test]
        fn survives_any_stamp(start: i64, time: i64, rate: u32, frame: i64) {
            let timeline = Timeline::new(ServerTime::from_micros(start), rate);
            let _ = timeline.frame_at(ServerTime::from_micros(time));
            let _ = timeline.time_of(FrameIndex(frame));
        }
    }
}
