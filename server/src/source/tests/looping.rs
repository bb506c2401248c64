//! Lists and loops: nothing added, nothing lost, and the right name at every frame.

use super::made::{Folder, Wav, as_samples, ramp, sine};
use super::*;

/// A ramp of `frames` frames that begins at frame `skip` of the signal.
fn ramp_wav(folder: &Folder, name: &str, skip: usize, frames: usize) -> PathBuf {
    let values = ramp(skip + frames)[skip * CHANNELS..].to_vec();
    folder.write(name, &Wav::of_i16(48_000, 2, values.into_iter()).bytes())
}

#[test]
fn a_looped_file_repeats_to_the_sample() {
    let folder = Folder::new();
    for (path, frames) in [
        (ramp_wav(&folder, "loop.wav", 0, 3_001), 3_001),
        (fixture("ramp-48k-16.flac"), 14_400),
        (fixture("ramp-48k-16.m4a"), 9_600),
    ] {
        let mut source = open_files(&[&path], true).unwrap();
        let heard = samples(&read(source.as_mut(), 3 * frames + 100));
        let once = as_samples(&ramp(frames));
        let expected: Vec<_> = once.iter().cycle().take(heard.len()).copied().collect();
        assert_same(&heard, &expected, &path.display().to_string());
    }
}

#[test]
fn a_looped_lossy_file_repeats_with_its_period() {
    for name in ["tone-44k1.mp3", "tone-44k1.m4a", "tone-44k1.ogg"] {
        let mut source = open_files(&[&fixture(name)], true).unwrap();
        let heard = samples(&read(source.as_mut(), 4 * 19_200));
        // The second and the third round: the first begins from silence instead of from the end.
        let rounds = [1, 2].map(|round| {
            let start = round * 19_200 + 1_200;
            side(&heard, 0)[start..start + 16_000].to_vec()
        });
        let quality = signal_to_noise_db(&rounds[0], &rounds[1]);
        assert!(quality > 90.0, "{name}: {quality:.1} dB");
    }
}

#[test]
fn the_resampler_runs_through_the_loop_point() {
    let folder = Folder::new();
    // 100 whole periods of 441 Hz: looped, an endless sine.
    let wav = Wav::of_f32(44_100, 1, sine(441.0, 0.5, 44_100, 10_000)).bytes();
    let path = folder.write("periods.wav", &wav);
    let mut source = open_files(&[&path], true).unwrap();
    let heard = side(&samples(&read(source.as_mut(), 60_000)), 0);
    let endless = |t: f64| 0.5 * (std::f64::consts::TAU * 441.0 * t).sin();
    let expected = expected(endless, 2_000, 58_000);
    let quality = signal_to_noise_db(&heard[2_000..60_000], &expected);
    assert!(quality > 100.0, "{quality:.1} dB");
}

#[test]
fn files_follow_each_other_without_a_gap_and_under_their_names() {
    let folder = Folder::new();
    let first = ramp_wav(&folder, "first.wav", 0, 5_000);
    let second = ramp_wav(&folder, "second.wav", 5_000, 2_500);
    let mut source = open_files(&[&first, &second], false).unwrap();
    let (mut heard, mut titles) = (Vec::new(), Vec::new());
    loop {
        let title = source.run().track.title.clone();
        let Some(pcm) = next(source.as_mut()) else {
            break;
        };
        titles.extend(vec![title; pcm.samples.len() / CHANNELS]);
        heard.extend(pcm.samples);
    }
    assert_same(&heard, &as_samples(&ramp(7_500)), "both files");
    assert!(titles[..5_000].iter().all(|title| title == "first"));
    assert!(titles[5_000..].iter().all(|title| title == "second"));
    assert_eq!(source.run().track.title, "second");
    assert_eq!(next(source.as_mut()), None);
}

#[test]
fn the_resampler_runs_through_a_change_of_track() {
    let folder = Folder::new();
    let whole: Vec<f32> = sine(997.0, 0.5, 44_100, 20_000).collect();
    let write = |name: &str, part: &[f32]| {
        folder.write(name, &Wav::of_f32(44_100, 1, part.iter().copied()).bytes())
    };
    let paths = [write("a.wav", &whole[..8_001]), write("b.wav", &whole[8_001..])];
    let mut source = open_files(&[&paths[0], &paths[1]], false).unwrap();
    let (mut heard, mut first_track) = (Vec::new(), 0);
    loop {
        let first = source.run().track.title == "a";
        let Some(pcm) = next(source.as_mut()) else {
            break;
        };
        first_track += if first { pcm.samples.len() / CHANNELS } else { 0 };
        heard.extend(pcm.samples);
    }
    assert_eq!(heard.len() / CHANNELS, 21_769, "20000 frames at 44.1 kHz");
    assert_eq!(first_track, 8_709, "8001 frames at 44.1 kHz");
    let expected = expected(tone_left, 2_000, 17_000);
    let quality = signal_to_noise_db(&side(&heard, 0)[2_000..19_000], &expected);
    assert!(quality > 100.0, "{quality:.1} dB");
}

#[test]
fn tracks_of_different_rates_keep_their_lengths() {
    let folder = Folder::new();
    let tone = |name: &str, rate_hz: u32| {
        let wav = Wav::of_f32(rate_hz, 1, sine(997.0, 0.5, rate_hz, rate_hz as usize / 4));
        folder.write(name, &wav.bytes())
    };
    let paths =
        [tone("a.wav", 44_100), ramp_wav(&folder, "b.wav", 0, 6_000), tone("c.wav", 96_000)];
    let mut source = open_files(&[&paths[0], &paths[1], &paths[2]], false).unwrap();
    let heard = samples(&read(source.as_mut(), usize::MAX));
    assert_eq!(heard.len() / CHANNELS, 12_000 + 6_000 + 12_000);
    assert_same(&heard[24_000..36_000], &as_samples(&ramp(6_000)), "the second file");
}

#[test]
fn without_a_loop_the_music_ends_and_stays_ended() {
    let mut source = open_files(&[&fixture("ramp-48k-16.flac")], false).unwrap();
    assert_eq!(samples(&read(source.as_mut(), usize::MAX)).len(), 14_400 * CHANNELS);
    assert_eq!(next(source.as_mut()), None);
    assert_eq!(next(source.as_mut()), None);
    assert_eq!(source.run().track.title, "Tone");
}

#[test]
fn a_file_deleted_during_the_party_plays_on() {
    let folder = Folder::new();
    let path = ramp_wav(&folder, "gone.wav", 0, 2_000);
    let mut source = open_files(&[&path], true).unwrap();
    std::fs::remove_file(&path).unwrap();
    let heard = samples(&read(source.as_mut(), 10_000));
    assert_same(&heard[8_000..12_000], &as_samples(&ramp(2_000)), "the third round");
}

#[test]
fn a_file_that_turns_bad_is_passed_over_and_the_others_play_on() {
    let folder = Folder::new();
    let (good, bad) =
        (ramp_wav(&folder, "good.wav", 0, 2_000), ramp_wav(&folder, "bad.wav", 0, 2_000));
    let mut source = open_files(&[&bad, &good], true).unwrap();
    // Written over in place, so the open file itself changes.
    std::fs::write(&bad, b"no longer music").unwrap();
    // What had been read of it before may still be heard.
    while source.run().track.title == "bad" {
        next(source.as_mut());
    }
    let heard = samples(&read(source.as_mut(), 6_000));
    let expected = as_samples(&ramp(2_000)).repeat(3);
    assert_same(&heard[..expected.len()], &expected, "three rounds");
    assert_eq!(source.run().track.title, "good");
}

#[test]
fn when_every_file_has_turned_bad_the_party_is_told_and_ends() {
    let folder = Folder::new();
    let path = ramp_wav(&folder, "bad.wav", 0, 2_000);
    let mut source = open_files(&[&path], true).unwrap();
    std::fs::write(&path, b"no longer music").unwrap();
    let error = loop {
        match source.read(Duration::ZERO) {
            Ok(read) => assert_ne!(read, Read::End, "it may not end without a word"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.starts_with("nothing left to play: ") && error.contains("bad.wav"), "{error}");
    assert_eq!(next(source.as_mut()), None);
}

#[test]
fn a_loop_too_short_to_follow_is_refused_and_plays_once() {
    let folder = Folder::new();
    let path = ramp_wav(&folder, "click.wav", 0, 100);
    let mut once = open_files(&[&path], false).unwrap();
    assert_eq!(samples(&read(once.as_mut(), usize::MAX)), as_samples(&ramp(100)));
    let mut looped = open_files(&[&path], true).unwrap();
    assert!(next(looped.as_mut()).is_some());
    let error = looped.read(Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains("shorter than 10 ms"), "{error}");
}
