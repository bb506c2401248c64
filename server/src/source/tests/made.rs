//! Files the tests write themselves: WAV and AIFF, byte by byte, in a folder that goes away.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of this test's own, removed at its end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("partyline-source-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: a folder left in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a WAV file is to contain.
#[derive(Clone)]
pub(super) struct Wav {
    pub(super) rate_hz: u32,
    pub(super) channels: u16,
    /// Loudspeaker bits of `WAVEFORMATEXTENSIBLE`; `None` writes the plain header.
    pub(super) mask: Option<u32>,
    /// 8, 16, 24 or 32 bits of whole numbers, or -32 for floating point.
    pub(super) bits: i16,
    /// Interleaved samples, already encoded.
    pub(super) data: Vec<u8>,
}

impl Wav {
    /// 16 bits from whole numbers.
    pub(super) fn of_i16(rate_hz: u32, channels: u16, samples: impl Iterator<Item = i16>) -> Self {
        let data = samples.flat_map(i16::to_le_bytes).collect();
        Self { rate_hz, channels, mask: None, bits: 16, data }
    }

    /// Floating point.
    pub(super) fn of_f32(rate_hz: u32, channels: u16, samples: impl Iterator<Item = f32>) -> Self {
        let data = samples.flat_map(f32::to_le_bytes).collect();
        Self { rate_hz, channels, mask: None, bits: -32, data }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let bits = self.bits.unsigned_abs();
        let frame_bytes = self.channels.wrapping_mul(bits / 8);
        let format_tag: u16 = if self.bits < 0 { 3 } else { 1 };
        let mut format = Vec::new();
        format.extend(if self.mask.is_some() { 0xfffe } else { format_tag }.to_le_bytes());
        format.extend(self.channels.to_le_bytes());
        format.extend(self.rate_hz.to_le_bytes());
        format.extend(self.rate_hz.wrapping_mul(u32::from(frame_bytes)).to_le_bytes());
        format.extend(frame_bytes.to_le_bytes());
        format.extend(bits.to_le_bytes());
        if let Some(mask) = self.mask {
            format.extend(22_u16.to_le_bytes());
            format.extend(bits.to_le_bytes());
            format.extend(mask.to_le_bytes());
            format.extend(format_tag.to_le_bytes());
            // The rest of KSDATAFORMAT_SUBTYPE_PCM and its siblings.
            format.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
        }
        let body = [b"WAVE".as_slice(), &chunk(*b"fmt ", &format), &chunk(*b"data", &self.data)];
        chunk(*b"RIFF", &body.concat())
    }
}

fn chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// A stereo AIFF file of 16 bits at 48 kHz.
pub(super) fn aiff_48k(samples: &[i16]) -> Vec<u8> {
    let mut common = 2_u16.to_be_bytes().to_vec();
    common.extend((samples.len() as u32 / 2).to_be_bytes());
    common.extend(16_u16.to_be_bytes());
    // 48000 as an 80-bit float: exponent 15 over the bias 16383, mantissa from the highest bit down.
    common.extend([0x40, 0x0e, 0xbb, 0x80, 0, 0, 0, 0, 0, 0]);
    let mut sound = vec![0; 8];
    sound.extend(samples.iter().flat_map(|sample| sample.to_be_bytes()));
    let big_endian = |name: &[u8; 4], body: &[u8]| {
        [name.as_slice(), &(body.len() as u32).to_be_bytes(), body].concat()
    };
    let body = [b"AIFF".as_slice(), &big_endian(b"COMM", &common), &big_endian(b"SSND", &sound)];
    big_endian(b"FORM", &body.concat())
}

/// The *ramp* signal as whole numbers, interleaved stereo.
pub(super) fn ramp(frames: usize) -> Vec<i16> {
    (0..i32::try_from(frames).unwrap())
        .flat_map(|n| [n * 5 % 20_001 - 10_000, n * 7 % 16_001 - 8_000])
        .map(|value| i16::try_from(value).unwrap())
        .collect()
}

/// Whole numbers as the samples they stand for.
pub(super) fn as_samples(values: &[i16]) -> Vec<f32> {
    values.iter().map(|value| f32::from(*value) / 32_768.0).collect()
}

/// A sine at `amplitude`, one channel, in floating point.
pub(super) fn sine(
    hz: f64,
    amplitude: f64,
    rate_hz: u32,
    frames: usize,
) -> impl Iterator<Item = f32> {
    (0..frames).map(move |frame| {
        let t = frame as f64 / f64::from(rate_hz);
        (amplitude * (std::f64::consts::TAU * hz * t).sin()) as f32
    })
}
