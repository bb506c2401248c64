//! Tests of the sources, through [`open`] wherever a listener could hear the difference.

mod damage;
mod exact;
mod formats;
mod joins;
mod jumps;
mod layout;
mod lists;
mod looping;
mod loudness;
mod made;
mod naming;

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::message::Repeat;

use super::{
    Abilities, CHANNELS, Jump, NEXT_UP_MAX, Options, Order, PCM_FRAMES_MAX, Pcm, RATE_HZ, Read,
    Source, SourceError, SourceSpec, open,
};

/// A file under `tests/fixtures/audio`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/audio").join(name)
}

fn open_files(paths: &[&Path], looped: bool) -> Result<Box<dyn Source>, SourceError> {
    let specs: Vec<_> = paths.iter().map(|path| SourceSpec::File(path.to_path_buf())).collect();
    open(&specs, &Options::repeating(if looped { Repeat::All } else { Repeat::Off }))
}

/// What `open` says about one file.
fn complaint(path: &Path) -> String {
    match open_files(&[path], true) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(error) => error.to_string(),
    }
}

/// The next samples of what never has to wait; `None` at the end.
fn next(source: &mut dyn Source) -> Option<Pcm> {
    match source.read(Duration::ZERO).unwrap() {
        Read::Pcm(pcm) => Some(pcm),
        Read::NotYet => panic!("it waits"),
        Read::End => None,
    }
}

/// Reads at least `frames` frames, fewer when the source ends, and checks what holds for every block.
fn read(source: &mut dyn Source, frames: usize) -> Vec<Pcm> {
    let mut blocks = Vec::new();
    let mut count = 0;
    while count < frames
        && let Some(pcm) = next(source)
    {
        assert!(pcm.samples.len().is_multiple_of(CHANNELS) && !pcm.samples.is_empty());
        assert!(pcm.samples.len() <= PCM_FRAMES_MAX * CHANNELS);
        assert!(pcm.samples.iter().all(|sample| sample.is_finite()));
        assert!([16, 24].contains(&pcm.resolution_bits));
        count += pcm.samples.len() / CHANNELS;
        blocks.push(pcm);
    }
    blocks
}

fn samples(blocks: &[Pcm]) -> Vec<f32> {
    blocks.iter().flat_map(|pcm| pcm.samples.iter().copied()).collect()
}

/// Plays one file to its end.
fn play(path: &Path) -> Vec<f32> {
    let mut source = open_files(&[path], false).unwrap();
    samples(&read(source.as_mut(), usize::MAX))
}

/// Compares samples, and says where they first differ instead of printing them all.
fn assert_same(heard: &[f32], expected: &[f32], what: &str) {
    let differs = heard.iter().zip(expected).position(|(heard, expected)| heard != expected);
    assert_eq!(differs, None, "{what}: index of the first sample that differs");
    assert_eq!(heard.len(), expected.len(), "{what}: number of samples");
}

/// One side of interleaved stereo.
fn side(stereo: &[f32], side: usize) -> Vec<f32> {
    stereo.iter().skip(side).step_by(CHANNELS).copied().collect()
}

/// The left channel of the *tone* fixture `t` seconds from its start.
fn tone_left(t: f64) -> f64 {
    if t < 0.0 { 0.0 } else { 0.5 * (std::f64::consts::TAU * 997.0 * t).sin() }
}

/// The right channel of the *tone* fixture `t` seconds from its start.
fn tone_right(t: f64) -> f64 {
    let phase = std::f64::consts::TAU * (300.0 * t + 7125.0 * t * t);
    if t < 0.0 { 0.0 } else { 0.4 * phase.sin() }
}

/// Samples of a signal at the party's rate, from frame `first` on.
fn expected(signal: impl Fn(f64) -> f64, first: usize, frames: usize) -> Vec<f32> {
    (first..first + frames).map(|frame| signal(frame as f64 / f64::from(RATE_HZ)) as f32).collect()
}

/// How much louder the expected signal is than everything else, in decibels.
fn signal_to_noise_db(heard: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(heard.len(), expected.len());
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let signal = power(&mut expected.iter().map(|v| f64::from(*v)));
    let noise = power(&mut heard.iter().zip(expected).map(|(h, e)| f64::from(*h) - f64::from(*e)));
    10.0 * (signal / noise.max(1e-30)).log10()
}

/// Level of a sine of `hz` in `heard`, as an amplitude.
fn amplitude_at(heard: &[f32], hz: f64) -> f64 {
    let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
    for (frame, sample) in heard.iter().enumerate() {
        // A Hann window, so that other sines do not leak in.
        let x = frame as f64 / heard.len() as f64;
        let window = 0.5 - 0.5 * (std::f64::consts::TAU * x).cos();
        let phase = std::f64::consts::TAU * hz * frame as f64 / f64::from(RATE_HZ);
        re += window * f64::from(*sample) * phase.cos();
        im += window * f64::from(*sample) * phase.sin();
        weight += window;
    }
    2.0 * (re * re + im * im).sqrt() / weight
}
