//! Samples without a container, as sound cards give them.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::str::FromStr;

use crate::source::file::{Block, RATES_HZ};

/// What raw samples look like, written as `s16le/48000/2`: encoding, rate in Hz, channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFormat {
    encoding: Encoding,
    rate_hz: u32,
    channels: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    U8,
    S16 { big: bool },
    S24 { big: bool },
    S32 { big: bool },
    F32 { big: bool },
}

/// Names of the encodings, as ffmpeg and sox write them.
const ENCODINGS: [(&str, Encoding); 9] = [
    ("u8", Encoding::U8),
    ("s16le", Encoding::S16 { big: false }),
    ("s16be", Encoding::S16 { big: true }),
    ("s24le", Encoding::S24 { big: false }),
    ("s24be", Encoding::S24 { big: true }),
    ("s32le", Encoding::S32 { big: false }),
    ("s32be", Encoding::S32 { big: true }),
    ("f32le", Encoding::F32 { big: false }),
    ("f32be", Encoding::F32 { big: true }),
];

/// Loudest sample of a floating-point stream that is taken, +18 dB, as of a file.
const SAMPLE_MAX: f32 = 8.0;

/// Most bytes that are read at a time: 21 ms of 16-bit stereo, so that nothing waits for more.
const READ_BYTES: usize = 4_096;

/// Why a format cannot be used. Shows as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected ENCODING/RATE/CHANNELS such as s16le/48000/2: u8, s16le, s24le, s32le, f32le or the same with be; \
     8000 to 384000 Hz; 1 or 2 channels"
)]
pub struct FormatError;

impl FromStr for SourceFormat {
    type Err = FormatError;

    fn from_str(value: &str) -> Result<Self, FormatError> {
        let mut parts = value.split('/');
        let (Some(name), Some(rate), Some(channels), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(FormatError);
        };
        let (_, encoding) =
            ENCODINGS.into_iter().find(|(known, _)| *known == name).ok_or(FormatError)?;
        let rate_hz = rate.parse().map_err(|_| FormatError)?;
        let channels = channels.parse().map_err(|_| FormatError)?;
        if !RATES_HZ.contains(&rate_hz) || !(1..=2).contains(&channels) {
            return Err(FormatError);
        }
        Ok(Self { encoding, rate_hz, channels })
    }
}

impl fmt::Display for SourceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ENCODINGS.into_iter().find(|(_, encoding)| *encoding == self.encoding);
        write!(f, "{}/{}/{}", name.map_or("", |(name, _)| name), self.rate_hz, self.channels)
    }
}

impl SourceFormat {
    /// What [`super::process::ffmpeg`] is told to write.
    pub(super) const TRANSCODED: Self =
        Self { encoding: Encoding::F32 { big: false }, rate_hz: 48_000, channels: 2 };

    fn sample_bytes(self) -> usize {
        match self.encoding {
            Encoding::U8 => 1,
            Encoding::S16 { .. } => 2,
            Encoding::S24 { .. } => 3,
            Encoding::S32 { .. } | Encoding::F32 { .. } => 4,
        }
    }

    fn frame_bytes(self) -> usize {
        self.sample_bytes() * usize::from(self.channels)
    }

    fn sample(self, bytes: &[u8]) -> f32 {
        // Brought to the upper bytes of 32 bits, little end first.
        let ordered = |big: bool| {
            let mut word = [0; 4];
            for (at, byte) in bytes.iter().take(4).enumerate() {
                let place = if big { 3 - at } else { 4 - bytes.len() + at };
                word[place] = *byte;
            }
            word
        };
        let whole = |word: [u8; 4]| (f64::from(i32::from_le_bytes(word)) / 2_147_483_648.0) as f32;
        match self.encoding {
            Encoding::U8 => (f32::from(bytes[0]) - 128.0) / 128.0,
            Encoding::S16 { big } | Encoding::S24 { big } | Encoding::S32 { big } => {
                whole(ordered(big))
            }
            Encoding::F32 { big } => {
                let value = f32::from_le_bytes(ordered(big));
                if value.is_finite() { value.clamp(-SAMPLE_MAX, SAMPLE_MAX) } else { 0.0 }
            }
        }
    }
}

/// Reads raw samples.
pub(super) struct Raw {
    bytes: Box<dyn Read + Send>,
    format: SourceFormat,
    /// The beginning of a frame whose rest has not come.
    pending: Vec<u8>,
}

impl Raw {
    /// Samples of `format` from `bytes`.
    pub(super) fn new(bytes: Box<dyn Read + Send>, format: SourceFormat) -> Self {
        Self { bytes, format, pending: Vec::new() }
    }

    /// What comes next, `None` at the end. A frame that is cut off there is left out.
    ///
    /// # Errors
    ///
    /// The reader's.
    pub(super) fn next_block(&mut self) -> io::Result<Option<Block>> {
        loop {
            let begun = self.pending.len();
            self.pending.resize(begun + READ_BYTES, 0);
            let read = self.bytes.read(&mut self.pending[begun..]);
            self.pending.truncate(begun + *read.as_ref().unwrap_or(&0));
            let count = match read {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if count == 0 {
                return Ok(None);
            }
            let whole = self.pending.len() / self.format.frame_bytes() * self.format.frame_bytes();
            if whole > 0 {
                return Ok(Some(self.block(whole)));
            }
        }
    }

    fn block(&mut self, bytes: usize) -> Block {
        let SourceFormat { encoding, rate_hz, channels } = self.format;
        let values = (self.pending[..bytes].chunks_exact(self.format.sample_bytes()))
            .map(|sample| self.format.sample(sample));
        let samples = match channels {
            1 => values.flat_map(|value| [value, value]).collect(),
            _ => values.collect(),
        };
        self.pending.drain(..bytes);
        let is_coarse = matches!(encoding, Encoding::U8 | Encoding::S16 { .. });
        Block { samples, rate_hz, resolution_bits: if is_coarse { 16 } else { 24 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, bytes: &[u8]) -> Vec<f32> {
        let bytes: Box<dyn Read + Send> = Box::new(io::Cursor::new(bytes.to_vec()));
        let mut raw = Raw::new(bytes, format.parse().unwrap());
        let mut samples = Vec::new();
        while let Some(block) = raw.next_block().unwrap() {
            samples.extend(block.samples);
        }
        samples
    }

    #[test]
    fn every_encoding_is_read() {
        assert_eq!(read("u8/8000/1", &[0, 128, 192]), [-1.0, -1.0, 0.0, 0.0, 0.5, 0.5]);
        assert_eq!(read("s16le/48000/2", &[0, 0x80, 0, 0x40]), [-1.0, 0.5]);
        assert_eq!(read("s16be/48000/2", &[0x80, 0, 0x40, 0]), [-1.0, 0.5]);
        assert_eq!(read("s24le/48000/2", &[0, 0, 0xc0, 1, 0, 0]), [-0.5, 1.0 / 8_388_608.0]);
        assert_eq!(read("s24be/48000/2", &[0xc0, 0, 0, 0, 0, 1]), [-0.5, 1.0 / 8_388_608.0]);
        assert_eq!(read("s32le/48000/2", &[0, 0, 0, 0xc0, 0, 0, 0, 0x20]), [-0.5, 0.25]);
        assert_eq!(read("s32be/48000/2", &[0xc0, 0, 0, 0, 0x20, 0, 0, 0]), [-0.5, 0.25]);
        let floats: Vec<u8> = [0.3_f32, f32::NAN].into_iter().flat_map(f32::to_be_bytes).collect();
        assert_eq!(read("f32be/48000/2", &floats), [0.3, 0.0]);
        let floats: Vec<u8> = [0.3_f32, 99.0].into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(read("f32le/48000/2", &floats), [0.3, 8.0]);
    }

    #[test]
    fn a_frame_that_is_cut_off_is_left_out() {
        assert_eq!(read("s16le/48000/2", &[0, 0, 0, 0, 1, 2, 3]), [0.0, 0.0]);
    }

    #[test]
    fn wrong_formats_are_refused() {
        for wrong in [
            "",
            "s16le",
            "s16le/48000",
            "s16le/48000/3",
            "s16le/48000/0",
            "s16/48000/2",
            "s16le/7999/2",
            "s16le/48000/2/1",
            "s16le/x/2",
        ] {
            assert_eq!(wrong.parse::<SourceFormat>(), Err(FormatError), "{wrong}");
        }
        let format: SourceFormat = "s24be/44100/1".parse().unwrap();
        assert_eq!(format.to_string(), "s24be/44100/1");
    }
}
