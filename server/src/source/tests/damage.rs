//! Files that are not what they should be. None may stop a party that has begun, and none may start one
//! that will be silent.

use proptest::prelude::*;

use super::made::{Folder, Wav, aiff_48k, ramp};
use super::*;

/// Amplitude of the sine in the MP3 fixtures: the encoder turns what it is given down by 0.95.
const MP3_LEVEL: f64 = 0.475;

fn wav_bytes() -> Vec<u8> {
    Wav::of_i16(48_000, 2, ramp(4_800).into_iter()).bytes()
}

fn fixture_bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

/// Checks that a file is refused in one line that names it and says `what`.
fn assert_refused(path: &Path, what: &str) {
    let message = complaint(path);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(message.starts_with("cannot play "), "{message}");
    assert!(message.contains(name) && message.contains(what), "{message}");
    assert!(message.contains("expected") && !message.contains('\n'), "{message}");
}

#[test]
fn what_is_no_playable_file_is_refused_by_its_name() {
    let folder = Folder::new();
    assert_refused(&folder.path().join("missing.flac"), "there is no such file");
    assert_refused(&folder.write("plain.wav", b"x").join("inside.wav"), "there is no such file");
    assert_refused(folder.path(), "it is a directory");
    assert_refused(&folder.write("empty.mp3", b""), "the file is empty");
    let text = b"This is a shopping list: beer, crisps, batteries.\n".repeat(40);
    assert_refused(&folder.write("list.mp3", &text), "not recognised as audio");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    let folder = Folder::new();
    let socket = folder.path().join("socket.wav");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_refused(&socket, "it is not a regular file");
}

#[cfg(unix)]
#[test]
fn a_file_this_user_may_not_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let path = folder.write("secret.wav", &wav_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser may read everything; for it the file must play.
    if std::fs::File::open(&path).is_ok() {
        assert_eq!(play(&path).len(), 4_800 * CHANNELS);
    } else {
        assert_refused(&path, "it cannot be read");
    }
}

#[test]
fn headers_broken_off_are_refused() {
    let folder = Folder::new();
    for name in
        ["tone-44k1.mp3", "tone-44k1.m4a", "tone-44k1.ogg", "ramp-48k-16.flac", "ramp-48k-16.m4a"]
    {
        let bytes = fixture_bytes(name);
        for length in [1, 10, 40] {
            let cut = folder.write(&format!("cut-{name}"), &bytes[..length]);
            assert!(complaint(&cut).starts_with("cannot play "), "{name}, {length} bytes");
        }
    }
    for length in [10, 30, 44] {
        assert_refused(&folder.write("cut.wav", &wav_bytes()[..length]), "cut.wav");
    }
}

#[test]
fn files_that_announce_more_than_they_hold_are_refused() {
    let folder = Folder::new();
    for name in ["ramp-48k-16.flac", "ramp-48k-24.flac", "ramp-48k-16.m4a", "tone-44k1.m4a"] {
        let bytes = fixture_bytes(name);
        let half = folder.write(&format!("half-{name}"), &bytes[..bytes.len() / 2]);
        assert!(complaint(&half).starts_with("cannot play "), "{name}");
    }
    assert_refused(&folder.write("half.wav", &wav_bytes()[..9_000]), "the file is cut off");
    let aiff = aiff_48k(&ramp(4_800));
    assert_refused(&folder.write("half.aiff", &aiff[..9_000]), "half.aiff");
    let flac = fixture_bytes("ramp-48k-16.flac");
    assert_refused(&folder.write("half.flac", &flac[..flac.len() / 2]), "the file is cut off");
}

#[test]
fn a_recording_whose_length_was_never_filled_in_plays() {
    let folder = Folder::new();
    for length in [u32::MAX, 0x7fff_f000, 0x7fff_ffff - 36] {
        let mut bytes = wav_bytes();
        bytes[4..8].copy_from_slice(&length.saturating_add(36).to_le_bytes());
        bytes[40..44].copy_from_slice(&length.to_le_bytes());
        let heard = play(&folder.write("piped.wav", &bytes));
        assert_eq!(heard.len(), 4_800 * CHANNELS, "{length:#x}");
    }
}

#[test]
fn formats_that_announce_nothing_play_as_far_as_they_go() {
    let folder = Folder::new();
    for name in ["tone-44k1.mp3", "tone-44k1.aac"] {
        let bytes = fixture_bytes(name);
        let half = folder.write(&format!("half-{name}"), &bytes[..bytes.len() / 2]);
        let frames = play(&half).len() / CHANNELS;
        assert!((6_000..12_000).contains(&frames), "{name}: {frames} frames");
    }
}

#[test]
fn garbage_in_the_middle_is_left_out_and_the_rest_is_played() {
    let folder = Folder::new();
    for (name, frames, rest_hz) in
        [("ramp-48k-16.flac", 14_400, None), ("tone-44k1.mp3", 19_200, Some(997.0))]
    {
        let mut bytes = fixture_bytes(name);
        let middle = bytes.len() / 2;
        for (index, byte) in bytes[middle..middle + 700].iter_mut().enumerate() {
            *byte = (index * 151 % 251) as u8;
        }
        let heard = play(&folder.write(name, &bytes));
        let left = frames - heard.len() / CHANNELS;
        assert!((200..5_000).contains(&left), "{name}: {left} frames left out");
        if let Some(hz) = rest_hz {
            let end = side(&heard, 0);
            let level = amplitude_at(&end[end.len() - 6_000..end.len() - 1_200], hz);
            assert!((level - MP3_LEVEL).abs() < 0.01, "{name}: {level:.3} after the damage");
        } else {
            let whole = play(&fixture(name));
            let tail = 3_000 * CHANNELS;
            assert_same(&heard[heard.len() - tail..], &whole[whole.len() - tail..], name);
        }
    }
}

#[test]
fn absurd_headers_are_refused() {
    let folder = Folder::new();
    let write = |name: &str, rate_hz: u32, channels: u16| {
        let mut wav = Wav::of_i16(rate_hz, channels, ramp(4_800).into_iter());
        wav.mask = None;
        folder.write(name, &wav.bytes())
    };
    assert_refused(&write("gigahertz.wav", 1_000_000_000, 2), "its sample rate is 1000000000 Hz");
    assert_refused(&write("slow.wav", 7_999, 2), "its sample rate is 7999 Hz");
    assert_refused(&write("still.wav", 0, 2), "");
    assert_refused(&write("nothing.wav", 48_000, 0), "");
    assert_refused(&write("crowd.wav", 48_000, 9), "its channel layout is 9 channels");
    assert_refused(&write("hall.wav", 48_000, 60_000), "");
}

#[test]
fn a_name_with_a_line_break_stays_on_one_line() {
    let folder = Folder::new();
    let message = complaint(&folder.path().join("no\nsuch.flac"));
    assert!(message.contains("no\\nsuch.flac"), "{message}");
}

/// Opens whatever it is and plays up to two seconds of it: anything but a panic or an endless loop.
fn try_to_play(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.write("any", bytes);
    if let Ok(mut source) = open_files(&[&path], true) {
        for _ in 0..100 {
            if !matches!(source.read(Duration::ZERO), Ok(Read::Pcm(_))) {
                break;
            }
        }
    }
}

const SEEDS: [&str; 7] = [
    "tone-44k1.mp3",
    "tone-44k1.m4a",
    "tone-44k1.aac",
    "tone-44k1.ogg",
    "tone-8k.mp3",
    "ramp-48k-16.m4a",
    "ramp-48k-24.flac",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 1..4_000)) {
        try_to_play(&bytes);
    }

    #[test]
    fn damaged_files_never_panic(
        seed in prop::sample::select(&SEEDS[..]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        // Headers are where lengths and counts are.
        in_header in any::<bool>(),
    ) {
        let mut bytes = fixture_bytes(seed);
        let end = if in_header { bytes.len().min(600) } else { bytes.len() };
        for (index, value) in damage {
            bytes[index.index(end)] = value;
        }
        try_to_play(&bytes);
    }

    #[test]
    fn damaged_wav_headers_never_panic(
        damage in prop::collection::vec((0_usize..60, any::<u8>()), 1..8),
        extensible in any::<bool>(),
    ) {
        let mut wav = Wav::of_i16(44_100, 6, ramp(3_000).into_iter());
        wav.mask = extensible.then_some(0x3f);
        let mut bytes = wav.bytes();
        for (index, value) in damage {
            bytes[index] = value;
        }
        try_to_play(&bytes);
    }
}
