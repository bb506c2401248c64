//! Gain by tags and by measuring.

use std::time::Instant;

use super::made::{Folder, Wav, as_samples, ramp, sine};
use super::*;

fn open_with(path: &Path, options: &Options) -> Box<dyn Source> {
    open(&[SourceSpec::File(path.to_owned())], options).unwrap()
}

/// Plays a file once, and tells by what factor it is louder than the ramp it holds.
fn factor_of(path: &Path, options: &Options) -> (f32, u32) {
    let mut source = open_with(path, options);
    let blocks = read(source.as_mut(), usize::MAX);
    let (heard, plain) = (samples(&blocks), as_samples(&ramp(4_800)));
    assert_eq!(heard.len(), plain.len());
    let factor = heard[0] / plain[0];
    for (heard, plain) in heard.iter().zip(&plain) {
        assert!((heard - plain * factor).abs() < 1e-6, "one gain for all of it");
    }
    (factor, blocks[0].resolution_bits)
}

#[test]
fn tags_are_followed_unless_told_otherwise() {
    let followed = Options::default();
    let (factor, bits) = factor_of(&fixture("gain-track.flac"), &followed);
    assert!((factor - 0.5).abs() < 1e-3 && bits == 24, "-6.02 dB: {factor}");
    // -11 dB from -23 LUFS is -6 dB from -18 LUFS.
    let (factor, bits) = factor_of(&fixture("gain-r128.flac"), &followed);
    assert!((factor - 0.501_187).abs() < 1e-4 && bits == 24, "{factor}");
    let ignored = Options { replay_gain: false, ..Options::default() };
    assert_eq!(factor_of(&fixture("gain-track.flac"), &ignored), (1.0, 16));
}

#[test]
fn mp3_files_are_followed_by_either_kind_of_tag_they_have() {
    let folder = Folder::new();
    let plain = std::fs::read(fixture("join-2.mp3")).unwrap();
    let loudest = |bytes: &[u8]| {
        let heard = play(&folder.write("tagged.mp3", bytes));
        heard.into_iter().fold(0.0, f32::max)
    };
    let before = loudest(&plain);
    let (key, gain) = (&b"REPLAYGAIN_TRACK_GAIN\0"[..], &b"-12.04 dB"[..]);
    // APEv2 at the end: one item, then the footer.
    let item_bytes = 8 + key.len() + gain.len();
    let mut item = (gain.len() as u32).to_le_bytes().to_vec();
    item.extend(0_u32.to_le_bytes());
    item.extend([key, gain].concat());
    let mut footer = b"APETAGEX".to_vec();
    for number in [2_000, item_bytes as u32 + 32, 1, 0, 0, 0] {
        footer.extend(number.to_le_bytes());
    }
    let ape = [plain.as_slice(), &item, &footer].concat();
    // ID3v2.3 at the front, which takes the place of the one that is there: one frame of text with a name.
    let text = [b"\0", key, gain].concat();
    let mut id3 = b"ID3\x03\0\0\0\0\0".to_vec();
    id3.push(text.len() as u8 + 10);
    id3.extend(b"TXXX\0\0\0");
    id3.push(text.len() as u8);
    id3.extend(b"\0\0");
    id3.extend(text);
    let music = 10 + usize::from(plain[8]) * 128 + usize::from(plain[9]);
    let id3 = [&id3, &plain[music..]].concat();
    for (bytes, what) in [(ape, "APEv2"), (id3, "ID3v2")] {
        let factor = loudest(&bytes) / before;
        assert!((factor - 0.25).abs() < 1e-3, "{what}: {factor}");
    }
}

#[test]
fn what_has_no_tags_is_played_as_it_is() {
    let mut source = open_with(&fixture("ramp-48k-16.flac"), &Options::default());
    let blocks = read(source.as_mut(), usize::MAX);
    assert_same(&samples(&blocks), &as_samples(&ramp(14_400)), "bit for bit");
    assert!(blocks.iter().all(|pcm| pcm.resolution_bits == 16));
}

/// The factor by which a sine of amplitude `level` comes louder in later rounds of a normalized loop.
fn normalized(folder: &Folder, level: f64) -> f32 {
    let wav = Wav::of_f32(48_000, 1, sine(1_000.0, level, 48_000, 48_000)).bytes();
    let path = folder.write("sine.wav", &wav);
    let options = Options { normalize: true, ..Options::repeating(Repeat::All) };
    let mut source = open_with(&path, &options);
    let began = Instant::now();
    let mut first = None;
    loop {
        assert!(began.elapsed() < Duration::from_mins(1), "it was never measured");
        let run = source.run().number;
        let pcm = next(source.as_mut()).unwrap();
        let peak = pcm.samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let first = *first.get_or_insert(peak);
        assert!(run > 0 || (peak - first).abs() < 1e-4, "the first round stays as it is");
        if peak > 0.0 && (peak / first - 1.0).abs() > 0.01 {
            return peak / first;
        }
    }
}

#[test]
fn what_has_no_tags_is_measured_and_comes_at_the_common_level_from_the_next_round_on() {
    let folder = Folder::new();
    // A sine of 1 kHz on both sides at amplitude 1.0 is 0 LUFS: each side -3.01, twice the power.
    let factor = normalized(&folder, 0.5);
    let expected = 10_f32.powf((-18.0 + 6.02) / 20.0);
    assert!((factor / expected - 1.0).abs() < 0.02, "{factor} instead of {expected}");
    let factor = normalized(&folder, 0.05);
    let expected = 10_f32.powf((-18.0 + 26.02) / 20.0);
    assert!((factor / expected - 1.0).abs() < 0.02, "{factor} instead of {expected}");
}

#[test]
fn measuring_never_lets_a_peak_clip() {
    let folder = Folder::new();
    // Soft, with a loud click each second: to be as loud as others, its clicks would have to be far beyond full scale.
    let clicks = (0..96_000).map(|n| {
        let soft = (f64::from(n) * 0.13).sin() as f32 * 0.02;
        if n % 48_000 == 20_000 { 0.5 } else { soft }
    });
    let path = folder.write("clicks.wav", &Wav::of_f32(48_000, 1, clicks).bytes());
    let options = Options { normalize: true, ..Options::repeating(Repeat::All) };
    let mut source = open_with(&path, &options);
    let began = Instant::now();
    let mut highest = 0.5;
    while highest == 0.5 {
        assert!(began.elapsed() < Duration::from_mins(1), "it was never measured");
        let run = source.run().number;
        highest = 0.0;
        while source.run().number == run {
            highest = next(source.as_mut()).unwrap().samples.into_iter().fold(highest, f32::max);
        }
    }
    assert!((0.8..0.8913).contains(&highest), "-1 dB of true peak: {highest}");
}
