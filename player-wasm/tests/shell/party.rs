use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Reflect;
use player_wasm::browser::{Party, Settings, stats_json};
use player_wasm::player::{Event, Failure, PartySupport};
use player_wasm::stats::{OutputKind, State, Stats};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::socket::CLOSED_PORT;
use crate::support::{Broken, Inbox};

fn settings(server_url: &str) -> Settings {
    Settings {
        server_url: server_url.to_owned(),
        name: "test".to_owned(),
        client_id: "test-1".to_owned(),
        volume: 30,
        muted: false,
        delay_ms: 0,
        party: PartySupport::default(),
    }
}

fn party() -> (Party, Inbox<Event>) {
    let inbox = Inbox::default();
    let put = inbox.clone();
    (Party::new(move |event| put.put(event)), inbox)
}

/// The failure that ends listening; no state but `expected` comes before.
async fn failure(inbox: &Inbox<Event>, expected: State) -> Failure {
    loop {
        match inbox.next().await {
            Event::Failed(failure) => return failure,
            Event::State(state) => assert!([expected, State::Error].contains(&state), "{state:?}"),
            event => panic!("{event:?}"),
        }
    }
}

#[wasm_bindgen_test]
fn a_party_that_nobody_joined_is_idle_and_silent() {
    let (party, inbox) = party();
    party.set_volume(10);
    party.set_muted(true);
    party.stop();
    assert_eq!(party.stats(), Stats::default());
    assert_eq!(inbox.take(), None);
}

#[wasm_bindgen_test]
async fn without_a_server_listening_fails_and_can_be_tried_again() {
    let (party, inbox) = party();
    for url in [CLOSED_PORT, "ws://", CLOSED_PORT] {
        party.join(settings(url));
        if url == CLOSED_PORT {
            assert_eq!(party.stats().state, State::Connecting);
            assert_eq!(party.stats().output, Some(OutputKind::Worklet));
        } else {
            // The browser does not even try, and says so at once.
            assert_eq!(party.stats().state, State::Error);
        }
        assert_eq!(failure(&inbox, State::Connecting).await, Failure::NoServer, "{url}");
        assert_eq!(party.stats().state, State::Error);
    }
    party.stop();
    assert_eq!(party.stats().state, State::Idle);
}

#[wasm_bindgen_test]
async fn a_listener_who_stops_hears_of_no_failure() {
    let (party, inbox) = party();
    party.join(settings(CLOSED_PORT));
    party.stop();
    assert_eq!(party.stats().state, State::Idle);
    // A second player, which fails after the first one would have.
    let (other, others) = self::party();
    other.join(settings(CLOSED_PORT));
    failure(&others, State::Connecting).await;
    let mut told = Vec::new();
    while let Some(event) = inbox.take() {
        told.push(event);
    }
    assert_eq!(told, [Event::State(State::Connecting), Event::State(State::Idle)]);
}

#[wasm_bindgen_test]
fn joining_again_stops_first() {
    let (party, inbox) = party();
    party.join(settings(CLOSED_PORT));
    party.join(settings(CLOSED_PORT));
    for state in [State::Connecting, State::Idle, State::Connecting] {
        assert_eq!(inbox.take(), Some(Event::State(state)));
    }
    party.stop();
}

#[wasm_bindgen_test]
async fn events_may_call_back() {
    let inbox = Inbox::default();
    let put = inbox.clone();
    let party: Rc<RefCell<Option<Party>>> = Rc::default();
    let own = Rc::clone(&party);
    let mut tries = 1;
    let tries_left = Rc::new(RefCell::new(move || std::mem::replace(&mut tries, 0) > 0));
    let made = Party::new(move |event| {
        let party = own.borrow().clone().unwrap();
        party.set_volume(20);
        if let Event::Failed(_) = event
            && (tries_left.borrow_mut())()
        {
            party.join(settings(CLOSED_PORT));
        }
        put.put(event);
    });
    party.replace(Some(made.clone()));
    made.join(settings(CLOSED_PORT));
    assert_eq!(failure(&inbox, State::Connecting).await, Failure::NoServer);
    assert_eq!(failure(&inbox, State::Connecting).await, Failure::NoServer);
    assert_eq!(made.stats().state, State::Error);
    // The party holds its callback, which holds the party.
    party.take();
}

#[wasm_bindgen_test]
async fn without_audio_listening_fails_and_can_be_tried_again() {
    let (party, inbox) = party();
    let throw = "() => { throw 'no ears' }";
    let broken = Broken::new("BaseAudioContext.prototype", "createGain", throw);
    party.join(settings(CLOSED_PORT));
    let what = "no ears".to_owned();
    assert_eq!(failure(&inbox, State::Connecting).await, Failure::AudioFailed { what });
    assert_eq!(party.stats().state, State::Error);
    drop(broken);
    party.join(settings(CLOSED_PORT));
    assert_eq!(failure(&inbox, State::Connecting).await, Failure::NoServer);
}

#[wasm_bindgen_test]
fn figures_are_a_plain_object() {
    let figure =
        |stats: &Stats, name: &str| Reflect::get(&stats_json(stats), &name.into()).unwrap();
    let idle = Stats::default();
    assert_eq!(figure(&idle, "state").as_string().as_deref(), Some("idle"));
    assert_eq!(figure(&idle, "syncErrorUs"), JsValue::NULL);
    let playing = Stats {
        state: State::Playing,
        output: Some(OutputKind::BufferSource),
        sync_error_us: Some(-12.5),
        ..idle
    };
    assert_eq!(figure(&playing, "output").as_string().as_deref(), Some("buffer-source"));
    assert_eq!(figure(&playing, "syncErrorUs").as_f64(), Some(-12.5));
}
