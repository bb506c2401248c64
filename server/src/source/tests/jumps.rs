//! Going elsewhere: where it lands to the sample, and what it leaves alone.

use super::made::{Folder, Wav, as_samples, ramp};
use super::*;

/// Frames of each file of [`three`].
const FRAMES: usize = 24_000;

/// Ramps that begin at different places, so that each sample tells the file.
fn write(folder: &Folder, number: usize) -> PathBuf {
    let wav = Wav::of_i16(48_000, 2, content(number).into_iter()).bytes();
    folder.write(&format!("{number}.wav"), &wav)
}

fn content(number: usize) -> Vec<i16> {
    let skip = number * 1_000;
    ramp(skip + FRAMES)[skip * CHANNELS..].to_vec()
}

/// A folder with three files.
fn three(repeat: Repeat) -> (Folder, Box<dyn Source>) {
    let folder = Folder::new();
    for number in 0..3 {
        write(&folder, number);
    }
    let spec = SourceSpec::Directory(folder.path().to_owned());
    let source = open(&[spec], &Options::repeating(repeat)).unwrap();
    (folder, source)
}

/// Checks that what comes is file `number` from frame `from` on, as a run from that position.
fn assert_at(source: &mut dyn Source, number: usize, from: usize) {
    let run = source.run().clone();
    assert_eq!(run.track.title, number.to_string());
    assert_eq!(run.from_ms, (from / 48) as u64, "where the run begins");
    let heard = samples(&read(source, 4_800));
    let expected = &as_samples(&content(number))[from * CHANNELS..];
    let length = heard.len().min(expected.len());
    assert_same(&heard[..length], &expected[..length], "what is heard after the jump");
}

fn title(source: &dyn Source) -> String {
    source.run().track.title.clone()
}

#[test]
fn next_and_previous_count_from_what_is_heard_though_reading_is_ahead() {
    let (_folder, mut source) = three(Repeat::All);
    let source = source.as_mut();
    let first = source.run().number;
    // Reading is in the second file when somebody who hears the first wants the next.
    read(source, FRAMES + 5_000);
    assert_eq!(title(source), "1");
    assert!(source.jump(Jump::Next { heard: first }));
    assert_at(source, 1, 0);
    let second = source.run().number;
    assert!(source.jump(Jump::Next { heard: second }));
    assert_at(source, 2, 0);
    let third = source.run().number;
    assert!(source.jump(Jump::Next { heard: third }));
    assert_at(source, 0, 0);
    assert!(source.jump(Jump::Previous { heard: third }));
    assert_at(source, 1, 0);
    assert!(source.jump(Jump::Previous { heard: first }), "the same once more");
    assert_at(source, 0, 0);
    assert!(!source.jump(Jump::Next { heard: 1_000 }), "a run that never was");
}

#[test]
fn each_jump_is_another_run_and_none_that_fails_changes_anything() {
    let (_folder, mut source) = three(Repeat::Off);
    let source = source.as_mut();
    let mut numbers = vec![source.run().number];
    for position_ms in [100, 100, 0] {
        let heard = *numbers.last().unwrap();
        assert!(source.jump(Jump::Seek { heard, position_ms }));
        numbers.push(source.run().number);
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    read(source, 2 * FRAMES + 1);
    let heard = source.run().number;
    assert_eq!(title(source), "2");
    let before = samples(&read(source, 1_000)).len() / CHANNELS;
    assert!(!source.jump(Jump::Next { heard }), "nothing is after the last");
    assert!(!source.jump(Jump::Entry { id: 3 }));
    assert!(source.run().number == heard && before > 0);
    let rest = read(source, usize::MAX);
    let expected = as_samples(&content(2));
    let rest = samples(&rest);
    assert_same(&rest, &expected[expected.len() - rest.len()..], "it went on");
}

#[test]
fn a_seek_lands_on_the_frame() {
    let (_folder, mut source) = three(Repeat::All);
    let source = source.as_mut();
    for position_ms in [0, 1, 77, 333, 10] {
        let heard = source.run().number;
        assert!(source.jump(Jump::Seek { heard, position_ms }));
        assert_at(source, 0, position_ms as usize * 48);
    }
    // In a track that is heard while the next one is read.
    let heard = source.run().number;
    read(source, FRAMES);
    assert_eq!(title(source), "1");
    assert!(source.jump(Jump::Seek { heard, position_ms: 200 }));
    assert_at(source, 0, 9_600);
}

#[test]
fn a_seek_lands_where_playing_arrives_in_every_format() {
    for name in [
        "ramp-48k-16.flac",
        "ramp-48k-24.flac",
        "ramp-48k-16.m4a",
        "join-2.mp3",
        "tone-44k1.m4a",
        "tone-44k1.ogg",
        "tone-44k1.mp3",
    ] {
        let whole = play(&fixture(name));
        let mut source = open_files(&[&fixture(name)], false).unwrap();
        // Whole numbers of frames at 44.1 kHz, too.
        for position_ms in [50, 20, 90, 10] {
            let heard = source.run().number;
            assert!(source.jump(Jump::Seek { heard, position_ms }), "{name}");
            let rest = samples(&read(source.as_mut(), usize::MAX));
            let from = position_ms as usize * 48 * CHANNELS;
            let expected = &whole[from..];
            assert_eq!(rest.len(), expected.len(), "{name} at {position_ms} ms: frames");
            // The resampler begins anew, and hears nothing of what was before: its filter is 1024 frames long.
            let settled = if name.contains("44k1") { 1_200 * CHANNELS } else { 0 };
            let end = rest.len() - settled;
            let quality = signal_to_noise_db(&rest[settled..end], &expected[settled..end]);
            assert!(quality > 80.0, "{name} at {position_ms} ms: {quality:.1} dB");
        }
    }
}

#[test]
fn past_the_end_is_the_end() {
    let (_folder, mut source) = three(Repeat::Off);
    let source = source.as_mut();
    for position_ms in [500, 501, u64::MAX] {
        let heard = source.run().number;
        let from = title(source);
        assert!(source.jump(Jump::Seek { heard, position_ms }));
        let next = from.parse::<usize>().unwrap() + 1;
        if next < 3 {
            assert_at(source, next, 0);
        }
    }
    assert_eq!(next(source), None);
    for name in ["join-2.mp3", "tone-44k1.ogg", "tone-44k1.m4a", "tone-44k1.aac"] {
        let mut source = open_files(&[&fixture(name)], false).unwrap();
        let heard = source.run().number;
        assert!(source.jump(Jump::Seek { heard, position_ms: 86_400_000 }), "{name}");
        assert!(samples(&read(source.as_mut(), usize::MAX)).len() < 2 * 4_800, "{name}");
    }
}

#[test]
fn after_the_end_a_jump_brings_the_music_back() {
    let (_folder, mut source) = three(Repeat::Off);
    let source = source.as_mut();
    read(source, usize::MAX);
    assert_eq!(next(source), None);
    let heard = source.run().number;
    assert!(source.jump(Jump::Previous { heard }));
    assert_at(source, 1, 0);
    read(source, usize::MAX);
    assert!(source.jump(Jump::Entry { id: 0 }));
    assert_at(source, 0, 0);
    let rest = samples(&read(source, usize::MAX)).len() / CHANNELS;
    assert!(rest > 2 * FRAMES, "the list goes on behind it: {rest}");
}

#[test]
fn an_entry_that_has_gone_is_passed_over_by_a_jump() {
    let (folder, mut source) = three(Repeat::All);
    let source = source.as_mut();
    std::fs::remove_file(folder.path().join("1.wav")).unwrap();
    let heard = source.run().number;
    assert!(!source.jump(Jump::Entry { id: 1 }));
    assert_eq!(source.run().number, heard);
    assert_eq!(source.next_up().iter().map(|up| up.id).collect::<Vec<_>>(), [2]);
    assert!(source.jump(Jump::Next { heard }));
    assert_at(source, 2, 0);
    let heard = source.run().number;
    assert!(source.jump(Jump::Previous { heard }));
    assert_at(source, 0, 0);
    assert_eq!(source.next_up().len(), 1, "it is not offered");
}

#[test]
fn one_track_is_repeated_until_somebody_wants_the_next() {
    let (_folder, mut source) = three(Repeat::One);
    let source = source.as_mut();
    let heard = samples(&read(source, 2 * FRAMES + 100));
    let once = as_samples(&content(0));
    assert_same(&heard[..2 * once.len()], &once.repeat(2), "two rounds");
    assert_eq!(source.run().number, 2);
    assert!(source.jump(Jump::Next { heard: 2 }));
    assert_at(source, 1, 0);
    read(source, FRAMES);
    assert_eq!(title(source), "1");
    source.set_order(Order { repeat: Repeat::Off, shuffle: false });
    read(source, FRAMES);
    assert_eq!(title(source), "2");
}

#[test]
fn a_shuffled_list_plays_everything_and_can_be_put_in_order_again() {
    let folder = Folder::new();
    (0..8).for_each(|number| drop(write(&folder, number)));
    let spec = SourceSpec::Directory(folder.path().to_owned());
    let order = Order { repeat: Repeat::Off, shuffle: true };
    let options = Options { order, seed: 3, ..Options::default() };
    let mut source = open(&[spec], &options).unwrap();
    let source = source.as_mut();
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(title(source));
        let told = source.next_up().first().unwrap().track.title.clone();
        assert!(source.jump(Jump::Next { heard: source.run().number }));
        assert_eq!(title(source), told);
    }
    assert_ne!(heard, ["0", "1", "2", "3"]);
    let present: usize = title(source).parse().unwrap();
    source.set_order(Order { repeat: Repeat::Off, shuffle: false });
    assert_eq!(source.order(), Order { repeat: Repeat::Off, shuffle: false });
    let coming: Vec<_> = source.next_up().iter().map(|up| up.track.title.clone()).collect();
    assert_eq!(coming, (present + 1..8).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(source.jump(Jump::Previous { heard: source.run().number }));
    assert_eq!(title(source), heard[3]);
}

#[test]
fn the_built_in_sources_can_be_sought_in() {
    for spec in [SourceSpec::Demo, SourceSpec::Metronome] {
        let mut source = open(&[spec], &Options::repeating(Repeat::All)).unwrap();
        let source = source.as_mut();
        let can = Abilities { skip: false, seek: true, order: false };
        assert_eq!(source.abilities(), can);
        let whole = samples(&read(source, 150_000));
        let heard = source.run().number;
        assert!(source.jump(Jump::Seek { heard, position_ms: 1_234 }));
        assert_eq!(source.run().from_ms, 1_234);
        let sought = samples(&read(source, 60_000));
        let from = 1_234 * 48 * CHANNELS;
        assert_same(&sought[..60_000], &whole[from..from + 60_000], "from there on");
        assert!(!source.jump(Jump::Next { heard: 999 }));
    }
    let two = [SourceSpec::Demo, SourceSpec::Metronome];
    let mut source = open(&two, &Options::default()).unwrap();
    assert_eq!(source.abilities(), Abilities { skip: true, seek: true, order: true });
    let heard = source.run().number;
    assert!(source.jump(Jump::Next { heard }));
    assert_eq!(title(source.as_ref()), "Metronome");
}

#[test]
fn a_jump_drops_what_the_resampler_held() {
    let name = fixture("tone-44k1.mp3");
    let mut source = open_files(&[&name, &fixture("ramp-48k-16.flac")], false).unwrap();
    let heard = source.run().number;
    read(source.as_mut(), 3_000);
    assert!(source.jump(Jump::Next { heard }));
    let heard = samples(&read(source.as_mut(), usize::MAX));
    assert_same(&heard, &as_samples(&ramp(14_400)), "nothing of the first file");
}
