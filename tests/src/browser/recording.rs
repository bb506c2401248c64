//! What left a page's audio output, and where in a known sound each piece of it lies.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::signal::{Reference, rms};

/// Consecutive frames of both channels, with the clock readings of their time.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Frames per second of the audio output.
    pub rate_hz: u32,
    /// Number of the first frame on the output's own count.
    pub first_frame: i64,
    /// Left channel, full scale at 1.0.
    pub left: Vec<f32>,
    /// Right channel.
    pub right: Vec<f32>,
    /// `performance.timeOrigin` of the page: its clock's zero, milliseconds since 1970.
    pub time_origin_ms: f64,
    /// When the page was last clicked, milliseconds on its clock.
    pub clicked_ms: Option<f64>,
    stamps: Vec<Stamp>,
}

/// One reading of `getOutputTimestamp()`.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    /// Second of audio that was heard.
    context_s: f64,
    /// When it was, milliseconds on the page's clock.
    performance_ms: f64,
}

/// A piece of a recording, found in the sound that was played.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Number of its first frame on the output's count.
    pub frame: i64,
    /// Where in the sound it begins, in frames at the output's rate.
    pub position: f64,
    /// How alike the two are.
    pub correlation: f64,
    /// Its loudness.
    pub rms: f64,
}

impl Recording {
    /// Reads what the recorder's `read` returns.
    ///
    /// # Errors
    ///
    /// When its blocks overlap, or it is something else.
    pub(super) fn parse(value: &Value) -> Result<Self> {
        let number = |name: &str| value[name].as_f64().with_context(|| format!("no {name}"));
        let blocks = value["blocks"].as_array().context("no blocks")?;
        let mut recording = Self {
            rate_hz: number("rate")? as u32,
            first_frame: 0,
            left: Vec::new(),
            right: Vec::new(),
            time_origin_ms: number("timeOrigin")?,
            clicked_ms: value["clicked"].as_f64(),
            stamps: stamps(&value["stamps"]).context("stamps")?,
        };
        for (index, block) in blocks.iter().enumerate() {
            let frame = block[0].as_f64().context("no frame")? as i64;
            if index == 0 {
                recording.first_frame = frame;
            }
            let due = recording.first_frame + recording.left.len() as i64;
            ensure!(frame >= due, "the recorder's frame {frame} comes after {due}");
            // A recorder that was not called heard nothing. Within music that shows as a hole.
            let heard_nothing = usize::try_from(frame - due)?;
            for channel in [&mut recording.left, &mut recording.right] {
                channel.resize(channel.len() + heard_nothing, 0.0);
            }
            recording.left.extend(samples(&block[1])?);
            recording.right.extend(samples(&block[2])?);
        }
        Ok(recording)
    }

    /// Cuts a channel, 0 left, 1 right, into pieces of `seconds` and finds each in `sound`, which must be
    /// at the output's rate.
    ///
    /// # Errors
    ///
    /// When a piece is silent.
    pub fn pieces(&self, channel: usize, sound: &Reference, seconds: f64) -> Result<Vec<Piece>> {
        let frames = (seconds * f64::from(self.rate_hz)) as usize;
        let samples = if channel == 0 { &self.left } else { &self.right };
        let pieces = samples.chunks_exact(frames).enumerate().map(|(index, heard)| {
            let frame = self.first_frame + (index * frames) as i64;
            let found = sound.locate(heard).with_context(|| format!("silence at frame {frame}"))?;
            Ok(Piece {
                frame,
                position: found.position,
                correlation: found.correlation,
                rms: rms(heard),
            })
        });
        pieces.collect()
    }

    /// Number of the first frame that is not silent, if there is one.
    #[must_use]
    pub fn first_sound(&self) -> Option<i64> {
        // A thousandth of full scale: dither and fades begin below it, music does not.
        let at =
            self.left.iter().zip(&self.right).position(|(l, r)| l.abs().max(r.abs()) > 0.001)?;
        Some(self.first_frame + at as i64)
    }

    /// The part of it from `frame` on.
    #[must_use]
    pub fn since(mut self, frame: i64) -> Self {
        let skipped = usize::try_from(frame - self.first_frame).unwrap_or(0).min(self.left.len());
        self.left.drain(..skipped);
        self.right.drain(..skipped);
        self.first_frame += skipped as i64;
        self
    }

    /// When `frame` is heard, milliseconds on the page's clock, by `getOutputTimestamp()`.
    ///
    /// The median over the readings within a second: each is good to a fraction of a millisecond, and
    /// some are far off.
    ///
    /// # Errors
    ///
    /// When there is no reading near `frame`.
    pub fn heard_at_ms(&self, frame: i64) -> Result<f64> {
        let second = frame as f64 / f64::from(self.rate_hz);
        let mut offsets: Vec<f64> = self
            .stamps
            .iter()
            .filter(|stamp| (stamp.context_s - second).abs() < 1.0)
            .map(|stamp| stamp.performance_ms - stamp.context_s * 1_000.0)
            .collect();
        ensure!(!offsets.is_empty(), "no output timestamp near second {second}");
        offsets.sort_by(f64::total_cmp);
        Ok(second * 1_000.0 + offsets[offsets.len() / 2])
    }
}

fn stamps(value: &Value) -> Option<Vec<Stamp>> {
    let stamps = value.as_array()?.iter().map(|stamp| {
        Some(Stamp { context_s: stamp[0].as_f64()?, performance_ms: stamp[1].as_f64()? })
    });
    stamps.collect()
}

fn samples(value: &Value) -> Result<Vec<f32>> {
    let bytes = STANDARD.decode(value.as_str().context("no samples")?)?;
    let (samples, _) = bytes.as_chunks::<4>();
    Ok(samples.iter().map(|sample| f32::from_le_bytes(*sample)).collect())
}
