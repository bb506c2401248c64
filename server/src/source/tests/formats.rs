//! Every format and rate: the right sound, at the right pitch, at the right instant, for the right time.

use super::made::{Folder, Wav, sine};
use super::*;
use crate::source::resample::converted;

/// Checks a *tone* fixture: its length in frames to within `slack`, and its sound at the right frame.
///
/// `from_edge` frames at either end are not compared: there a lossy encoder has half a block to go by.
fn assert_tone(name: &str, slack: usize, quality_db: f64) {
    let heard = play(&fixture(name));
    let frames = heard.len() / CHANNELS;
    assert!(frames.abs_diff(19_200) <= slack, "{name}: {frames} frames");
    let from_edge = 1_200;
    let inner = from_edge..frames.min(19_200) - from_edge;
    for (index, signal) in [tone_left, tone_right].into_iter().enumerate() {
        let expected = expected(signal, from_edge, inner.len());
        let quality = signal_to_noise_db(&side(&heard, index)[inner.clone()], &expected);
        assert!(quality > quality_db, "{name}, side {index}: {quality:.1} dB");
    }
}

#[test]
fn mp3_is_trimmed_by_its_lame_tag() {
    assert_tone("tone-44k1.mp3", 0, 25.0);
}

#[test]
fn aac_in_mp4_is_trimmed_by_its_edit_list() {
    assert_tone("tone-44k1.m4a", 0, 25.0);
}

#[test]
fn vorbis_is_trimmed_by_its_last_page() {
    assert_tone("tone-44k1.ogg", 0, 25.0);
}

#[test]
fn aac_without_container_plays_with_its_run_up() {
    // Nothing in such a file says where the music begins: 1024 frames of run-up, 1115 at 48 kHz.
    let heard = play(&fixture("tone-44k1.aac"));
    let frames = heard.len() / CHANNELS;
    assert_eq!(frames as u64, converted(18 * 1024 + 1024, 44_100));
    let shifted = expected(|t| tone_left(t - 1024.0 / 44_100.0), 3_000, 12_000);
    let quality = signal_to_noise_db(&side(&heard, 0)[3_000..15_000], &shifted);
    assert!(quality > 25.0, "{quality:.1} dB");
}

#[test]
fn a_telephone_rate_keeps_its_pitch() {
    let heard = play(&fixture("tone-8k.mp3"));
    assert_eq!(heard.len() / CHANNELS, 19_200);
    let left = &side(&heard, 0)[2_400..16_800];
    // The encoder turns what it is given down by 0.95.
    assert!((amplitude_at(left, 997.0) - 0.475).abs() < 0.01);
}

#[test]
fn every_rate_gives_a_pure_tone_of_the_right_length() {
    let folder = Folder::new();
    for rate_hz in [8_000, 11_025, 22_050, 32_000, 44_100, 47_999, 88_200, 96_000, 192_000, 384_000]
    {
        let frames = rate_hz as usize * 3 / 10 + 7;
        let wav = Wav::of_f32(rate_hz, 1, sine(997.0, 0.5, rate_hz, frames)).bytes();
        let heard = play(&folder.write("sine.wav", &wav));
        let expected_frames = converted(frames as u64, rate_hz) as usize;
        assert_eq!(heard.len() / CHANNELS, expected_frames, "{rate_hz} Hz");
        // Away from the edges, where the tone is cut hard and the filter rings.
        let inner = 4_800..expected_frames - 4_800;
        let expected = expected(tone_left, 4_800, inner.len());
        let quality = signal_to_noise_db(&side(&heard, 0)[inner], &expected);
        // A rate without a common divisor takes transforms so long that f32 shows.
        let bar = if rate_hz == 47_999 { 90.0 } else { 100.0 };
        assert!(quality > bar, "{rate_hz} Hz: {quality:.1} dB");
    }
}

#[test]
fn the_highest_octave_survives_and_what_lies_above_does_not_fold_back() {
    let folder = Folder::new();
    let level = |rate_hz: u32, hz: f64, heard_hz: f64| {
        let wav = Wav::of_f32(rate_hz, 1, sine(hz, 0.5, rate_hz, rate_hz as usize / 2)).bytes();
        let heard = side(&play(&folder.write("sine.wav", &wav)), 0);
        amplitude_at(&heard[2_400..21_600], heard_hz)
    };
    assert!((level(44_100, 20_000.0, 20_000.0) - 0.5).abs() < 0.005);
    assert!((level(96_000, 20_000.0, 20_000.0) - 0.5).abs() < 0.005);
    // 30 kHz would come back at 18 kHz.
    assert!(level(96_000, 30_000.0, 18_000.0) < 0.5e-5);
    // An image of 1 kHz at 8 kHz would lie at 7 kHz.
    assert!(level(8_000, 1_000.0, 7_000.0) < 0.5e-5);
}

#[test]
fn lengths_round_to_the_nearest_frame() {
    assert_eq!(converted(441, 44_100), 480);
    assert_eq!(converted(1, 44_100), 1);
    assert_eq!(converted(1, 384_000), 0);
    assert_eq!(converted(4, 384_000), 1);
    assert_eq!(converted(44_100 * 3_600 * 24, 44_100), 48_000 * 3_600 * 24);
    assert_eq!(converted(u64::MAX, 8_000), u64::MAX);
}
