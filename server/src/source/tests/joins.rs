//! One recording in two files: what is heard is the recording.

use super::made::{as_samples, ramp};
use super::*;

#[test]
fn two_flac_files_are_joined_to_the_sample() {
    let pair = [fixture("join-1.flac"), fixture("join-2.flac")];
    let mut source = open_files(&[&pair[0], &pair[1]], false).unwrap();
    let heard = samples(&read(source.as_mut(), usize::MAX));
    assert_same(&heard, &as_samples(&ramp(14_400)), "the recording");
}

#[test]
fn two_mp3_files_are_joined_to_the_sample() {
    let pair = [fixture("join-1.mp3"), fixture("join-2.mp3")];
    let mut source = open_files(&[&pair[0], &pair[1]], false).unwrap();
    let (mut heard, mut first_file) = (Vec::new(), 0);
    let first = source.run().number;
    loop {
        let is_first = source.run().number == first;
        let Some(pcm) = next(source.as_mut()) else {
            break;
        };
        first_file += if is_first { pcm.samples.len() / CHANNELS } else { 0 };
        heard.extend(pcm.samples);
    }
    assert_eq!(heard.len() / CHANNELS, 19_200, "frames of both");
    assert_eq!(first_file, 5_001, "frames of the first");
    // The encoder knew nothing of the other half, so the last and first few frames are less exact. An inserted or lost
    // sample anywhere would leave 18 dB of what follows, and less in the right channel.
    for (channel, signal) in [(0, tone_left as fn(f64) -> f64), (1, tone_right)] {
        let expected = expected(signal, 0, 19_200);
        let heard = side(&heard, channel);
        for (from, to, least_db) in
            [(1_000, 4_900, 45.0), (4_900, 5_100, 25.0), (5_100, 18_000, 45.0)]
        {
            let quality = signal_to_noise_db(
                &heard[from..to],
                &as_loud(&expected[from..to], &heard[from..to]),
            );
            assert!(quality > least_db, "channel {channel}, frame {from} to {to}: {quality:.1} dB");
        }
    }
}

/// `expected` as loud as it is heard: the encoder turns down what it is given.
fn as_loud(expected: &[f32], heard: &[f32]) -> Vec<f32> {
    let product = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let level = product(expected, heard) / product(expected, expected);
    expected.iter().map(|sample| sample * level).collect()
}
