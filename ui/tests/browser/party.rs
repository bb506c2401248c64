//! What the page shows of a party: to a guest, to the host, and in each language.

use player_wasm::player::{
    ControllerState, Event, NowPlaying, PartyState, PlayerInfo, QueueEntry, Repeat, Rights,
    ServerTime, SyncReport, TrackProgress,
};
use player_wasm::stats::State;
use ui::language::Language;
use wasm_bindgen::JsCast;
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::HtmlInputElement;

use crate::support::{NOBODY, Page, until};

/// Events as a player tells them that has come to a party.
pub(crate) fn arrival() -> Vec<Event> {
    vec![
        Event::State(State::Connecting),
        Event::ServerName("Kitchen".to_owned()),
        Event::State(State::Buffering),
        Event::State(State::Playing),
    ]
}

/// A track, a third of it heard, at a speed in thousandths.
pub(crate) fn track(speed: u32) -> Event {
    let at = ServerTime::from_micros(0);
    Event::NowPlaying(NowPlaying {
        title: Some("Paper Lanterns".to_owned()),
        artist: Some("Mira Holm".to_owned()),
        album: Some("In Step".to_owned()),
        year: Some(2024),
        progress: Some(TrackProgress { at, heard_ms: 61_000, duration_ms: Some(183_000), speed }),
        ..NowPlaying::default()
    })
}

/// A party that obeys `commands`.
pub(crate) fn controller(commands: &[&str]) -> Event {
    Event::Controller(Some(ControllerState {
        supported_commands: commands.iter().map(|command| (*command).to_owned()).collect(),
        volume: 64,
        muted: false,
        repeat: Some(Repeat::Off),
        shuffle: Some(false),
        seek_max_ms: Some(183_000),
    }))
}

/// Every command that the page has something for.
pub(crate) const COMMANDS: [&str; 12] = [
    "play",
    "pause",
    "next",
    "previous",
    "seek",
    "shuffle",
    "unshuffle",
    "repeat_off",
    "repeat_all",
    "repeat_one",
    "volume",
    "mute",
];

/// A party with five tracks to come and two players.
pub(crate) fn party(rights: Rights) -> PartyState {
    let entry = |id| QueueEntry {
        id,
        title: format!("Track {id}"),
        artist: None,
        duration_ms: Some(90_000),
    };
    let player = |id: &str, error_us| PlayerInfo {
        id: id.to_owned(),
        name: format!("Player {id}"),
        volume: Some(40),
        muted: Some(false),
        sync: Some(SyncReport { playing: true, error_us: Some(error_us), ..SyncReport::default() }),
    };
    PartyState {
        rights,
        next_up: (1..=5).map(entry).collect(),
        players: (rights == Rights::Host).then(|| vec![player("a", 200.0), player("b", 4_200.0)]),
        ..PartyState::default()
    }
}

fn open(events: impl IntoIterator<Item = Event>) -> Page {
    let page = Page::open(NOBODY);
    page.tell(arrival().into_iter().chain(events));
    page
}

#[wasm_bindgen_test]
async fn a_guest_sees_what_is_playing_and_nothing_to_change_it() {
    let page = open([track(1_000), controller(&[]), Event::Party(party(Rights::Listen))]);
    until("the title is there", || page.text("title") == "Paper Lanterns").await;
    assert_eq!(page.text("artist"), "Mira Holm · In Step, 2024");
    until("the bar is there", || page.find("progress").is_some()).await;
    assert_eq!(
        (page.text("position"), page.text("duration")),
        ("1:01".to_owned(), "3:03".to_owned())
    );
    assert_eq!(page.get("progress").get_attribute("aria-valuenow").as_deref(), Some("33"));
    assert!(page.text("next-up").contains("Track 3"));
    assert!(
        !page.text("next-up").contains("Track 4"),
        "a guest sees what comes, not the whole list"
    );
    for absent in ["play-pause", "seek", "group-volume", "players", "entry-1", "host"] {
        assert!(page.find(absent).is_none(), "{absent}");
    }
    assert!(page.find("drawn-artwork").is_some(), "a picture where the server has none");
}

#[wasm_bindgen_test]
async fn a_host_sees_everything_and_it_goes_with_the_rights() {
    let page = open([track(1_000), controller(&COMMANDS), Event::Party(party(Rights::Host))]);
    until("the players are there", || page.find("players").is_some()).await;
    for present in [
        "play-pause",
        "next",
        "previous",
        "shuffle",
        "repeat",
        "seek",
        "group-volume",
        "entry-5",
        "host",
    ] {
        assert!(page.is_visible(present), "{present}");
    }
    let volume = |id: &str| page.get(id).unchecked_into::<HtmlInputElement>().value();
    assert_eq!((volume("group-volume"), volume("player-a")), ("64".to_owned(), "40".to_owned()));
    assert!(page.text("players").contains("Off by 4.2 ms"), "{}", page.text("players"));

    page.tell([controller(&["next"]), Event::Party(party(Rights::Skip))]);
    until("the rest is gone", || page.find("players").is_none()).await;
    assert!(page.is_visible("next"));
    assert!(!page.is_visible("play-pause") && page.find("group-volume").is_none());
}

#[wasm_bindgen_test]
async fn a_slider_that_is_held_stays_where_the_finger_is() {
    let page = open([controller(&COMMANDS), Event::Party(party(Rights::Host))]);
    until("the players are there", || page.find("player-a").is_some()).await;
    let slider = page.get("player-a").unchecked_into::<HtmlInputElement>();
    slider.set_value("90");
    slider.dispatch_event(&web_sys::Event::new("input").unwrap()).unwrap();
    let mut later = party(Rights::Host);
    later.players.as_mut().unwrap()[0].volume = Some(55);
    page.tell([Event::Party(later)]);
    until("the page has taken it", || {
        page.get("player-a").unchecked_into::<HtmlInputElement>() == slider
    })
    .await;
    assert_eq!(slider.value(), "90");
    slider.dispatch_event(&web_sys::Event::new("change").unwrap()).unwrap();
    until("it shows what was told", || slider.value() == "55").await;
}

#[wasm_bindgen_test]
async fn a_pause_is_not_the_end() {
    let page = open([track(0), Event::Ended(true)]);
    until("it says so", || page.text("state-text") == "Paused by the host").await;
    assert_eq!(page.text("title"), "Paper Lanterns");
    page.tell([Event::NowPlaying(NowPlaying::default())]);
    until("without a track it is over", || page.text("state-text") == "The party is over").await;
}

#[wasm_bindgen_test]
async fn an_old_host_link_is_said() {
    let page = open([Event::Party(PartyState { key_refused: true, ..PartyState::default() })]);
    until("it says so", || page.find("key-refused").is_some()).await;
    assert!(page.text("key-refused").contains("no longer valid"));
}

#[wasm_bindgen_test]
async fn the_sheet_shows_an_address_without_a_key() {
    let page = Page::open(NOBODY);
    page.click("share", 1);
    until("the code is drawn", || page.find("qr").is_some()).await;
    let address = page.text("share-address");
    assert!(address.starts_with("http://") && !address.contains('#'), "{address}");
    page.click("share-close", 1);
}

#[wasm_bindgen_test]
async fn the_page_speaks_german() {
    Language::German.choose();
    let page = open([
        track(0),
        controller(&COMMANDS),
        Event::Party(party(Rights::Host)),
        Event::Ended(true),
    ]);
    until("the state is there", || page.text("state-text") == "Vom Gastgeber angehalten").await;
    assert_eq!(page.text("stop"), "Stopp");
    assert!(page.text("players").contains("4,2 ms daneben"), "{}", page.text("players"));
    let seek = page.get("seek").get_attribute("aria-valuetext");
    assert_eq!(seek.as_deref(), Some("1 Minute 1 Sekunde von 3 Minuten 3 Sekunden"));
    Language::English.choose();
}
