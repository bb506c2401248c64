//! Loudspeaker layouts folded down to two sides.

use std::f64::consts::FRAC_1_SQRT_2;

use symphonia::core::audio::{ChannelLabel, Channels, Position};

use super::made::{Folder, Wav, sine};
use super::*;
use crate::source::downmix::Downmix;

/// Share of each channel in left and right, as heard: a one in that channel, silence in the others.
fn shares(mix: &Downmix, channels: usize) -> Vec<[f32; 2]> {
    (0..channels)
        .map(|channel| {
            let mut frame = vec![0.0; channels];
            frame[channel] = 1.0;
            mix.apply(&frame).try_into().unwrap()
        })
        .collect()
}

fn assert_close(heard: &[[f32; 2]], expected: &[[f64; 2]]) {
    assert_eq!(heard.len(), expected.len());
    for (heard, expected) in heard.iter().flatten().zip(expected.iter().flatten()) {
        assert!((f64::from(*heard) - expected).abs() < 1e-6, "{heard} instead of {expected}");
    }
}

#[test]
fn five_channels_and_low_follow_bs_775() {
    let positions = Position::FRONT_LEFT
        | Position::FRONT_RIGHT
        | Position::FRONT_CENTER
        | Position::LFE1
        | Position::REAR_LEFT
        | Position::REAR_RIGHT;
    let mix = Downmix::new(&Channels::Positioned(positions)).unwrap();
    let (front, minus_3_db) = (1.0 / (1.0 + 2.0 * FRAC_1_SQRT_2), 1.0 / (2.0 + 2.0_f64.sqrt()));
    let expected = [
        [front, 0.0],
        [0.0, front],
        [minus_3_db, minus_3_db],
        [0.0, 0.0],
        [minus_3_db, 0.0],
        [0.0, minus_3_db],
    ];
    assert_close(&shares(&mix, 6), &expected);
    assert!(!mix.is_exact());
}

#[test]
fn no_layout_can_clip_and_both_sides_are_alike() {
    for count in 1..=8 {
        for channels in [
            Channels::Discrete(count),
            Channels::Positioned(Position::from_count(u32::from(count)).unwrap()),
        ] {
            let mix = Downmix::new(&channels).unwrap();
            let full_scale = mix.apply(&vec![1.0; usize::from(count)]);
            assert!(full_scale.iter().all(|side| *side <= 1.0 + 1e-6), "{channels}");
            assert!(full_scale.iter().any(|side| *side > 0.999), "{channels}");
        }
    }
}

#[test]
fn layouts_without_loudspeakers_or_with_too_many_are_refused() {
    let labels = vec![ChannelLabel::Ambisonic(0), ChannelLabel::Ambisonic(1)];
    for channels in [
        Channels::None,
        Channels::Discrete(9),
        Channels::Ambisonic(1),
        Channels::Custom(labels.into_boxed_slice()),
    ] {
        let fault = Downmix::new(&channels).unwrap_err().to_string();
        assert!(fault.contains("expected 1 to 8 loudspeaker channels"), "{fault}");
    }
}

#[test]
fn a_layout_of_low_frequency_channels_only_is_silent() {
    let low = Channels::Positioned(Position::LFE1 | Position::LFE2);
    assert_eq!(Downmix::new(&low).unwrap().apply(&[1.0, 1.0]), [0.0, 0.0]);
}

/// Checks that each sine of the *speakers* fixture is heard where it belongs.
fn assert_speakers(name: &str) {
    let heard = play(&fixture(name));
    let frames = heard.len() / CHANNELS;
    let inner = 2_400..frames - 2_400;
    let front = 0.5 / (1.0 + 2.0 * FRAC_1_SQRT_2);
    let quieter = front * FRAC_1_SQRT_2;
    let hz = [500.0, 700.0, 900.0, 60.0, 1_100.0, 1_300.0];
    let left = [front, 0.0, quieter, 0.0, quieter, 0.0];
    let right = [0.0, front, quieter, 0.0, 0.0, quieter];
    for (index, levels) in [left, right].into_iter().enumerate() {
        let side = &side(&heard, index)[inner.clone()];
        for (hz, expected) in hz.into_iter().zip(levels) {
            let level = amplitude_at(side, hz);
            assert!((level - expected).abs() < 0.01, "{name}, {hz} Hz: {level:.3}");
        }
    }
}

#[test]
fn six_channels_of_flac_are_told_apart() {
    assert_speakers("speakers-16k.flac");
}

#[test]
fn six_channels_of_vorbis_are_told_apart() {
    assert_speakers("speakers-48k.ogg");
}

#[test]
fn eight_channels_are_told_apart() {
    let folder = Folder::new();
    // FL FR FC LFE BL BR SL SR: the mask of 7.1 in a WAV file.
    let hz = [500.0, 700.0, 900.0, 60.0, 1_100.0, 1_300.0, 1_500.0, 1_700.0];
    let frames = 12_000;
    let mut channels: Vec<_> = hz.map(|hz| sine(hz, 0.5, 48_000, frames)).into();
    let samples: Vec<f32> = (0..frames)
        .flat_map(|_| channels.iter_mut().map(|c| c.next().unwrap()).collect::<Vec<_>>())
        .collect();
    let mut wav = Wav::of_f32(48_000, 8, samples.into_iter());
    wav.mask = Some(0x63f);
    let heard = play(&folder.write("eight.wav", &wav.bytes()));
    let front = 0.5 / (1.0 + 3.0 * FRAC_1_SQRT_2);
    let quieter = front * FRAC_1_SQRT_2;
    let left = [front, 0.0, quieter, 0.0, quieter, 0.0, quieter, 0.0];
    for (hz, expected) in hz.into_iter().zip(left) {
        let level = amplitude_at(&side(&heard, 0), hz);
        assert!((level - expected).abs() < 0.002, "{hz} Hz: {level:.4} instead of {expected:.4}");
    }
}
