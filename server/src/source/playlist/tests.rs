use super::*;

fn line(location: &str) -> Line {
    Line { location: location.to_owned(), ..Line::default() }
}

fn named(location: &str, artist: &str, title: &str) -> Line {
    let (artist, title) = (Some(artist.to_owned()), Some(title.to_owned()));
    Line { location: location.to_owned(), title, artist }
}

#[test]
fn m3u_is_read_as_programs_write_it() {
    let text = "\u{feff}#EXTM3U\r\n#PLAYLIST:Party\r\n\r\n#EXTINF:123 a=\"b\",Ann - Dance, dance\r\n\
        music/a, b.mp3\r\n#EXTINF:-1,Radio\r\nhttp://radio.example/\r\n  c#.flac  \n";
    let expected = [
        named("music/a, b.mp3", "Ann", "Dance, dance"),
        Line { title: Some("Radio".to_owned()), ..line("http://radio.example/") },
        line("c#.flac"),
    ];
    assert_eq!(parse(Kind::M3u8, text.as_bytes(), 10).unwrap(), expected);
    assert_eq!(parse(Kind::M3u, text.as_bytes(), 2).unwrap(), expected[..2]);
}

#[test]
fn what_is_not_utf8_is_latin_1_where_that_is_usual() {
    let bytes = b"Bj\xf6rk.mp3\n";
    assert_eq!(parse(Kind::M3u, bytes, 9).unwrap(), [line("Björk.mp3")]);
    assert_eq!(parse(Kind::M3u, "Björk.mp3".as_bytes(), 9).unwrap(), [line("Björk.mp3")]);
    assert!(parse(Kind::M3u8, bytes, 9).unwrap_err().contains("UTF-8"));
}

#[test]
fn pls_is_read_in_the_order_of_its_numbers() {
    let text = "[Playlist]\nNumberOfEntries=3\nTitle2=Ann - Two\nFile10=ten.ogg\nfile2 = two.ogg\n\
        Length2=-1\nFile=none.ogg\nFilex=none.ogg\nTitle7=no file\nFile1=http://one.example/?a=b\n";
    let expected =
        [line("http://one.example/?a=b"), named("two.ogg", "Ann", "Two"), line("ten.ogg")];
    assert_eq!(parse(Kind::Pls, text.as_bytes(), 9).unwrap(), expected);
}

#[test]
fn xspf_is_read_with_its_addresses_decoded() {
    let text = r#"<?xml version="1.0" encoding="UTF-8"?>
        <playlist version="1" xmlns="http://xspf.org/ns/0/"><title>Party</title><trackList>
        <track><location>my%20songs/a%26b.flac</location><creator>Ann &amp; Bo</creator>
        <title>Fine</title></track>
        <track><title>nowhere</title></track>
        <track><location>file:///m/100%25.mp3</location></track>
        <track><location> https://radio.example/a%20b </location></track>
        </trackList></playlist>"#;
    let expected = [
        named("my songs/a&b.flac", "Ann & Bo", "Fine"),
        line("file:///m/100%25.mp3"),
        line("https://radio.example/a%20b"),
    ];
    assert_eq!(parse(Kind::Xspf, text.as_bytes(), 9).unwrap(), expected);
}

#[test]
fn what_is_no_playlist_is_refused() {
    let bomb = "<!DOCTYPE p [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><playlist>&b;</playlist>";
    let deep = "<a>".repeat(100_000);
    for (kind, bytes) in [
        (Kind::M3u, &b"RIFF\0\0\0\0WAVE"[..]),
        (Kind::M3u8, b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\na.ts\n"),
        (Kind::M3u8, b"\xff\xfea\0.\0m\0p\x003\0"),
        (Kind::Pls, b""),
        (Kind::Pls, b"File1=a.mp3\n"),
        (Kind::Pls, b"<html><body>404</body></html>"),
        (Kind::Xspf, b""),
        (Kind::Xspf, b"<playlist><trackList>"),
        (Kind::Xspf, b"<html></html>"),
        (Kind::Xspf, b"\xff\xff"),
        (Kind::Xspf, bomb.as_bytes()),
        (Kind::Xspf, deep.as_bytes()),
    ] {
        assert!(parse(kind, bytes, 9).is_err(), "{kind:?}");
    }
}

#[test]
fn an_entry_is_found_beside_its_playlist() {
    let folder = Path::new("/music/lists");
    let file = |path: &str| SourceSpec::File(path.into());
    for (location, spec) in [
        ("a b.mp3", file("/music/lists/a b.mp3")),
        ("../50%25.mp3", file("/music/lists/../50%25.mp3")),
        ("/other/c.mp3", file("/other/c.mp3")),
        ("file:///other/50%25%20c.mp3", file("/other/50% c.mp3")),
        ("FILE://localhost/other/%C3%A4.mp3", file("/other/ä.mp3")),
        ("file:/other/c%2.mp3", file("/other/c%2.mp3")),
        ("more.m3u", SourceSpec::Playlist("/music/lists/more.m3u".into())),
        ("https://a.example/x.mp3", SourceSpec::Http("https://a.example/x.mp3".to_owned())),
        // A playlist starts no programs and has no built-in sources.
        ("exec:reboot", file("/music/lists/exec:reboot")),
        ("demo", file("/music/lists/demo")),
        ("-", file("/music/lists/-")),
    ] {
        assert_eq!(resolve(location, folder), spec, "{location}");
    }
    #[cfg(unix)]
    assert_eq!(resolve(r"..\x\d.mp3", folder), file("/music/lists/../x/d.mp3"));
}

proptest::proptest! {
    #[test]
    fn no_playlist_panics(text in "(\\PC|\n|=|<track>|%|#EXTINF:|File1=|file:){0,60}") {
        for kind in [Kind::M3u, Kind::M3u8, Kind::Pls, Kind::Xspf] {
            for line in parse(kind, text.as_bytes(), 10).unwrap_or_default() {
                let _ = resolve(&line.location, Path::new("/music"));
            }
        }
    }
}
