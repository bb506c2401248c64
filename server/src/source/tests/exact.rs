//! Samples that need no conversion must arrive untouched, and say how fine they are.

use super::made::{Folder, Wav, aiff_48k, as_samples, ramp};
use super::*;

/// Checks a file against the ramp signal, scaled by a power of two.
fn assert_ramp(path: &Path, frames: usize, scale: f32, resolution_bits: u32) {
    let mut source = open_files(&[path], false).unwrap();
    let blocks = read(source.as_mut(), usize::MAX);
    let expected: Vec<_> = as_samples(&ramp(frames)).iter().map(|sample| sample * scale).collect();
    assert_same(&samples(&blocks), &expected, &path.display().to_string());
    assert!(blocks.iter().all(|pcm| pcm.resolution_bits == resolution_bits));
}

#[test]
fn sixteen_bits_at_the_partys_rate_pass_bit_for_bit() {
    let folder = Folder::new();
    let wav = Wav::of_i16(48_000, 2, ramp(5_000).into_iter()).bytes();
    assert_ramp(&folder.write("ramp.wav", &wav), 5_000, 1.0, 16);
    assert_ramp(&folder.write("ramp.aiff", &aiff_48k(&ramp(5_000))), 5_000, 1.0, 16);
    assert_ramp(&fixture("ramp-48k-16.flac"), 14_400, 1.0, 16);
    assert_ramp(&fixture("ramp-48k-16.m4a"), 9_600, 1.0, 16);
}

#[test]
fn the_extreme_values_of_sixteen_bits_survive() {
    let folder = Folder::new();
    let values = [i16::MIN, i16::MAX, -1, 0, 1, i16::MIN + 1];
    let wav = Wav::of_i16(48_000, 2, values.into_iter()).bytes();
    assert_eq!(play(&folder.write("edges.wav", &wav)), as_samples(&values));
}

#[test]
fn twenty_four_bits_pass_bit_for_bit() {
    let folder = Folder::new();
    let data = ramp(3_000).into_iter().flat_map(|n| i32::from(n).to_le_bytes()[..3].to_vec());
    let wav = Wav { rate_hz: 48_000, channels: 2, mask: None, bits: 24, data: data.collect() };
    assert_ramp(&folder.write("ramp.wav", &wav.bytes()), 3_000, 1.0 / 256.0, 24);
    assert_ramp(&fixture("ramp-48k-24.flac"), 4_800, 1.0 / 256.0, 24);
}

#[test]
fn mono_is_heard_on_both_sides_unchanged() {
    let folder = Folder::new();
    let wav = Wav::of_i16(48_000, 1, ramp(2_000).into_iter()).bytes();
    let blocks = {
        let path = folder.write("mono.wav", &wav);
        read(open_files(&[&path], false).unwrap().as_mut(), usize::MAX)
    };
    let expected = as_samples(&ramp(2_000)).into_iter().flat_map(|sample| [sample, sample]);
    assert_same(&samples(&blocks), &expected.collect::<Vec<_>>(), "mono");
    assert!(blocks.iter().all(|pcm| pcm.resolution_bits == 16));
}

#[test]
fn eight_bits_are_no_finer_than_sixteen() {
    let folder = Folder::new();
    let data = vec![0, 128, 255, 64];
    let wav = Wav { rate_hz: 48_000, channels: 2, mask: None, bits: 8, data };
    let path = folder.write("eight.wav", &wav.bytes());
    let blocks = read(open_files(&[&path], false).unwrap().as_mut(), usize::MAX);
    assert_eq!(samples(&blocks), [-1.0, 0.0, 127.0 / 128.0, -0.5]);
    assert_eq!(blocks[0].resolution_bits, 16);
}

#[test]
fn floating_point_passes_and_its_absurd_values_are_tamed() {
    let folder = Folder::new();
    let values = [0.1, -0.7, f32::NAN, f32::INFINITY, 1e30, -1e30, 1.25, f32::NEG_INFINITY];
    let wav = Wav::of_f32(48_000, 2, values.into_iter()).bytes();
    let path = folder.write("float.wav", &wav);
    let blocks = read(open_files(&[&path], false).unwrap().as_mut(), usize::MAX);
    assert_eq!(samples(&blocks), [0.1, -0.7, 0.0, 0.0, 8.0, -8.0, 1.25, 0.0]);
    assert_eq!(blocks[0].resolution_bits, 24);
}
