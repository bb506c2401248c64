//! Folders and playlists: what is in them, in which order, and what becomes of the rest.

use std::fs;

use super::made::{Folder, Wav, ramp};
use super::*;

/// A playable file of `frames` frames, in a folder that is made for it.
fn write_wav(folder: &Folder, name: &str, frames: usize) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    folder.write(name, &Wav::of_i16(48_000, 2, ramp(frames).into_iter()).bytes())
}

fn open_one(spec: SourceSpec) -> Result<Box<dyn Source>, SourceError> {
    open(&[spec], &Options::repeating(Repeat::Off))
}

fn directory(path: &Path) -> SourceSpec {
    SourceSpec::Directory(path.to_owned())
}

fn playlist(path: PathBuf) -> SourceSpec {
    SourceSpec::Playlist(path)
}

/// The titles of everything that is heard, in order.
fn titles(source: &mut dyn Source) -> Vec<String> {
    let mut titles: Vec<String> = Vec::new();
    loop {
        let title = source.run().track.title.clone();
        if next(source).is_none() {
            return titles;
        }
        if titles.last() != Some(&title) {
            titles.push(title);
        }
    }
}

fn refusal(spec: SourceSpec) -> String {
    let Err(error) = open_one(spec) else { panic!("it was accepted") };
    let message = error.to_string();
    assert!(message.starts_with("cannot play ") && !message.contains('\n'), "{message}");
    assert!(message.contains("expected"), "{message}");
    message
}

#[test]
fn a_folder_is_played_with_all_below_it_in_natural_order() {
    let folder = Folder::new();
    for name in ["10 a.wav", "2 b.wav", "Album/1 x.WAV", "album 2/deep/y.wav", "zz.wav"] {
        write_wav(&folder, name, 600);
    }
    write_wav(&folder, ".hidden.wav", 600);
    write_wav(&folder, ".folder/hidden.wav", 600);
    folder.write("cover.jpg", b"no music");
    folder.write("list.m3u", b"2 b.wav");
    let mut source = open_one(directory(folder.path())).unwrap();
    let expected = ["2 b", "10 a", "1 x", "y", "zz"];
    assert_eq!(titles(source.as_mut()), expected);
}

#[cfg(unix)]
#[test]
fn a_circle_of_links_is_walked_once() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    write_wav(&folder, "a/one.wav", 600);
    write_wav(&folder, "b/two.wav", 600);
    symlink(folder.path(), folder.path().join("a/up")).unwrap();
    symlink(folder.path().join("a"), folder.path().join("b/over")).unwrap();
    symlink("self", folder.path().join("self")).unwrap();
    symlink(folder.path().join("gone"), folder.path().join("gone.wav")).unwrap();
    let mut source = open_one(directory(folder.path())).unwrap();
    assert_eq!(titles(source.as_mut()), ["one", "two"]);
}

#[test]
fn what_is_broken_in_a_folder_is_left_out() {
    let folder = Folder::new();
    folder.write("1 empty.wav", b"");
    folder.write("2 text.mp3", b"These words are not music.");
    write_wav(&folder, "3 good.wav", 600);
    folder.write("4 cut.flac", b"fLaC");
    write_wav(&folder, "5 fine.wav", 600);
    let mut source = open_one(directory(folder.path())).unwrap();
    assert_eq!(titles(source.as_mut()), ["3 good", "5 fine"]);
}

#[test]
fn a_folder_in_which_nothing_plays_is_refused() {
    let folder = Folder::new();
    assert!(refusal(directory(folder.path())).contains("there is no music in it"));
    folder.write("cover.jpg", b"no music");
    assert!(refusal(directory(folder.path())).contains("there is no music in it"));
    folder.write("a.mp3", b"");
    folder.write("b.wav", b"no music");
    let message = refusal(directory(folder.path()));
    assert!(message.contains("nothing in it can be played, 2 tried; the first is "), "{message}");
    assert!(message.contains("a.mp3: the file is empty"), "{message}");
    assert!(refusal(directory(&folder.path().join("gone"))).contains("there is no such file"));
}

#[test]
fn one_named_file_that_does_not_play_is_an_error_beside_a_folder_that_does() {
    let folder = Folder::new();
    write_wav(&folder, "good.wav", 600);
    let missing = SourceSpec::File(folder.path().join("missing.wav"));
    let specs = [directory(folder.path()), missing];
    let Err(error) = open(&specs, &Options::default()) else { panic!("it was accepted") };
    assert!(error.to_string().contains("missing.wav"), "{error}");
}

#[test]
fn every_kind_of_playlist_is_played_in_its_order() {
    let folder = Folder::new();
    write_wav(&folder, "music/one.wav", 600);
    write_wav(&folder, "music/t wo.wav", 600);
    let absolute = write_wav(&folder, "three.wav", 600);
    let absolute = absolute.to_str().unwrap();
    fs::create_dir_all(folder.path().join("lists")).unwrap();
    let m3u = format!("#EXTM3U\n{absolute}\n../music/t wo.wav\n../music/one.wav\n");
    let pls =
        format!("[playlist]\nFile2=../music/t wo.wav\nFile1={absolute}\nFile3=../music/one.wav");
    let xspf = format!(
        "<playlist><trackList><track><location>file://{absolute}</location></track><track>\
         <location>../music/t%20wo.wav</location></track><track><location>../music/one.wav\
         </location></track></trackList></playlist>"
    );
    for (name, text) in [("l.m3u", &m3u), ("l.m3u8", &m3u), ("l.pls", &pls), ("l.xspf", &xspf)] {
        let path = folder.write(&format!("lists/{name}"), text.as_bytes());
        let mut source = open_one(playlist(path)).unwrap();
        assert_eq!(titles(source.as_mut()), ["three", "t wo", "one"], "{name}");
    }
}

#[test]
fn a_playlist_names_what_has_no_tags_and_only_that() {
    let folder = Folder::new();
    write_wav(&folder, "x.wav", 600);
    fs::copy(fixture("join-1.flac"), folder.path().join("y.flac")).unwrap();
    let text = "#EXTINF:1,Ann - Song\nx.wav\n#EXTINF:1,Bo - Other\ny.flac\n";
    let path = folder.write("list.m3u", text.as_bytes());
    let mut source = open_one(playlist(path)).unwrap();
    let track = &source.run().track;
    assert_eq!((track.title.as_str(), track.artist.as_deref()), ("Song", Some("Ann")));
    // Where its picture is looked for.
    assert_eq!(track.file.as_deref(), Some(folder.path().join("x.wav").as_path()));
    assert_eq!(titles(source.as_mut()), ["Song", "Tone"]);
    assert_eq!(source.run().track.artist.as_deref(), Some("Partyline"));
}

#[test]
fn what_is_broken_in_a_playlist_is_left_out() {
    let folder = Folder::new();
    write_wav(&folder, "good.wav", 600);
    write_wav(&folder, "more/fine.wav", 600);
    folder.write("nest.m3u", b"good.wav\nlist.m3u\n");
    let text = "gone.wav\nexec:true\n/dev/null\nmore\nlist.m3u\nnest.m3u\n";
    let path = folder.write("list.m3u", text.as_bytes());
    let mut source = open_one(playlist(path)).unwrap();
    // It names itself once and is followed once; what is named there again is too deep.
    assert_eq!(titles(source.as_mut()), ["fine", "good"]);
}

#[test]
fn an_address_in_a_playlist_holds_nothing_up() {
    let folder = Folder::new();
    write_wav(&folder, "good.wav", 600);
    let path = folder.write("list.m3u", b"good.wav\nhttp://127.0.0.1:1/radio\n");
    let began = std::time::Instant::now();
    let mut source = open_one(playlist(path)).unwrap();
    assert!(next(source.as_mut()).is_some());
    // It is asked for when its turn comes, and the reader waits for nothing.
    assert_eq!(source.read(Duration::ZERO).unwrap(), Read::NotYet);
    assert_eq!(source.read(Duration::ZERO).unwrap(), Read::NotYet);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn a_playlist_that_is_none_is_refused() {
    let folder = Folder::new();
    let wav = fs::read(write_wav(&folder, "x.wav", 600)).unwrap();
    for (name, bytes, what) in [
        ("empty.m3u", &b""[..], "the file is empty"),
        ("blank.m3u", b"#EXTM3U\n\n", "there is no music in it"),
        ("music.m3u", &wav, "it is not text"),
        ("hls.m3u8", b"#EXTM3U\n#EXT-X-VERSION:3\na.ts\n", "HLS"),
        ("latin.m3u8", b"Bj\xf6rk.mp3\n", "not UTF-8"),
        ("page.pls", b"<html></html>", "it does not begin with [playlist]"),
        ("empty.pls", b"[playlist]\n", "there is no music in it"),
        ("gone.pls", b"[playlist]\nFile1=gone.mp3", "there is no such file"),
        ("half.xspf", b"<playlist><trackList>", "not a playlist"),
        ("page.xspf", b"<html/>", "its XML is not a playlist"),
        ("empty.xspf", b"<playlist/>", "there is no music in it"),
        ("large.m3u", &vec![b'#'; (4 << 20) + 1], "larger than 4 MiB"),
    ] {
        let message = refusal(playlist(folder.write(name, bytes)));
        assert!(message.contains(name) && message.contains(what), "{message}");
    }
    assert!(refusal(playlist(folder.path().join("gone.m3u"))).contains("there is no such file"));
    fs::create_dir(folder.path().join("folder.m3u")).unwrap();
    assert!(refusal(playlist(folder.path().join("folder.m3u"))).contains("it is a directory"));
}

#[test]
fn titles_of_coming_files_become_known_one_by_one_and_only_when_there_is_time() {
    let folder = Folder::new();
    write_wav(&folder, "0.wav", 48_000);
    for number in 1..5 {
        fs::copy(fixture("join-1.flac"), folder.path().join(format!("{number}.flac"))).unwrap();
    }
    let mut source = open_one(directory(folder.path())).unwrap();
    let known = |source: &dyn Source| {
        let coming = source.next_up();
        assert_eq!(coming.len(), 4);
        coming.iter().filter(|coming| coming.track.title == "Tone").count()
    };
    source.read(Duration::ZERO).unwrap();
    assert_eq!(known(source.as_ref()), 0);
    for expected in [1, 2, 3, 4, 4] {
        source.read(Duration::from_secs(5)).unwrap();
        assert_eq!(known(source.as_ref()), expected);
    }
}

#[test]
fn thousands_of_files_begin_at_once_and_no_list_is_endless() {
    let folder = Folder::new();
    write_wav(&folder, "000000.wav", 48_000);
    let lines: Vec<_> = (0..25_000).map(|number| format!("{number:06}.wav")).collect();
    let path = folder.write("many.m3u", lines.join("\n").as_bytes());
    let mut source = open_one(playlist(path)).unwrap();
    assert_eq!(source.next_up().len(), NEXT_UP_MAX);
    assert!(next(source.as_mut()).is_some());
    assert!(source.jump(Jump::Entry { id: 0 }));
    assert!(!source.jump(Jump::Entry { id: 20_000 }), "beyond the limit");
    // All the rest is missing, which is found out at the end and ends well.
    assert_eq!(titles(source.as_mut()), ["000000"]);
}
