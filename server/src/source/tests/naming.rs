//! What the user may write, and what is shown of a file.

use super::made::{Folder, Wav, ramp};
use super::*;

#[test]
fn names_are_read_as_what_they_are() {
    assert_eq!("demo".parse(), Ok(SourceSpec::Demo));
    assert_eq!("metronome".parse(), Ok(SourceSpec::Metronome));
    for name in ["./demo", "./metronome", "song.flac", "/music/a b.mp3", "demo.wav", "http.flac"] {
        assert_eq!(name.parse(), Ok(SourceSpec::File(PathBuf::from(name))));
    }
}

#[test]
fn each_kind_of_source_is_told_by_how_it_is_written() {
    let folder = Folder::new();
    let directory = folder.path().to_str().unwrap();
    let web = |address: &str| SourceSpec::Http(address.to_owned());
    for (value, spec) in [
        (directory, SourceSpec::Directory(folder.path().to_owned())),
        ("party.m3u", SourceSpec::Playlist("party.m3u".into())),
        ("party.M3U8", SourceSpec::Playlist("party.M3U8".into())),
        ("a/party.pls", SourceSpec::Playlist("a/party.pls".into())),
        ("party.xspf", SourceSpec::Playlist("party.xspf".into())),
        ("http://radio.example/stream", web("http://radio.example/stream")),
        ("HTTPS://radio.example/a.m3u", web("HTTPS://radio.example/a.m3u")),
        ("-", SourceSpec::Stdin),
        ("exec: cat song.wav", SourceSpec::Exec("cat song.wav".to_owned())),
    ] {
        assert_eq!(value.parse(), Ok(spec));
    }
    for (value, what) in [(" ", "the source is empty"), ("exec: ", "the command is empty")] {
        let message = value.parse::<SourceSpec>().unwrap_err().to_string();
        assert!(message.contains(what) && message.contains("expected"), "{message}");
    }
}

#[test]
fn an_empty_list_is_an_error() {
    let Err(error) = open(&[], &Options::default()) else { panic!("an empty list was accepted") };
    assert_eq!(
        error.to_string(),
        "nothing to play: name at least one audio file, `demo` or `metronome`"
    );
}

#[test]
fn tags_are_read_from_every_format_that_has_them() {
    for name in ["tone-44k1.mp3", "tone-44k1.m4a", "tone-44k1.ogg", "ramp-48k-16.flac"] {
        let source = open_files(&[&fixture(name)], false).unwrap();
        let track = &source.run().track;
        assert_eq!(track.title, "Tone", "{name}");
        assert_eq!(track.artist.as_deref(), Some("Partyline"), "{name}");
        assert_eq!(track.album.as_deref(), Some("Fixtures"), "{name}");
        assert_eq!(track.track_number, Some(3), "{name}");
        assert_eq!(track.year, Some(2026), "{name}");
        let length = if name.ends_with("flac") { 300 } else { 400 };
        assert_eq!(track.duration_ms, Some(length), "{name}");
    }
}

#[test]
fn a_file_without_tags_is_called_by_its_name() {
    let folder = Folder::new();
    let wav = Wav::of_i16(48_000, 2, ramp(4_800).into_iter()).bytes();
    let source = open_files(&[&folder.write("My\nSong.live.wav", &wav)], false).unwrap();
    assert_eq!(source.run().track.title, "My Song.live");
    assert_eq!(source.run().track.artist, None);
    assert_eq!(source.run().track.duration_ms, Some(100));
}

#[test]
fn the_short_tag_at_the_end_of_an_mp3_gives_way_to_the_full_one() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(fixture("tone-44k1.mp3")).unwrap();
    // ID3v1: fixed fields for title, artist, album, year and comment, and one byte of genre.
    bytes.extend(b"TAG");
    for (text, length) in [("To", 30), ("Party", 30), ("Fix", 30), ("1999", 4), ("note", 30)] {
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len() + length - text.len(), 0);
    }
    bytes.push(255);
    let source = open_files(&[&folder.write("both.mp3", &bytes)], false).unwrap();
    assert_eq!(source.run().track.title, "Tone");
    assert_eq!(source.run().track.artist.as_deref(), Some("Partyline"));
    assert_eq!(source.run().track.year, Some(2026));
}
