//! The page in a real browser, with the real player behind it.

use crate::support::{NOBODY, Page, state, until};
use leptos::prelude::{document, window};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{HtmlButtonElement, HtmlDetailsElement, HtmlInputElement};

/// Names of the figures that `window.partyline.stats()` promises.
const FIGURES: [&str; 14] = [
    "state",
    "dialect",
    "codec",
    "output",
    "syncErrorUs",
    "clockErrorUs",
    "driftPpm",
    "bufferedMs",
    "outputLatencyMs",
    "roundTripMs",
    "reanchors",
    "underruns",
    "lateChunks",
    "outputRateHz",
];

#[wasm_bindgen_test]
fn is_ready_to_join_and_invents_nothing() {
    let page = Page::open(NOBODY);
    let join = page.get("join").unchecked_into::<HtmlButtonElement>();
    assert!(!join.disabled());
    assert_eq!(page.text("join"), "Join");
    assert_eq!(state(), "idle");
    assert_eq!(page.text("state-text"), "Not listening");
    assert!(page.find("listeners").is_none(), "a count nobody told");
    assert!(page.find("error").is_none());
    assert!(page.find("stop").is_none());
}

#[wasm_bindgen_test]
async fn a_server_that_does_not_answer_is_a_readable_error_with_another_try() {
    let page = Page::open(NOBODY);
    page.click("join", 1);
    assert_eq!(state(), "connecting", "the click itself starts it");
    until("the player gives up", || state() == "error").await;
    until("the page says so", || page.find("error").is_some()).await;
    let words = page.text("error");
    assert!(words.contains("127.0.0.1:47"), "{words}");
    assert!(words.contains("press Join"), "{words}");
    let alert = page.get("error").parent_element().unwrap();
    assert_eq!(alert.get_attribute("role").as_deref(), Some("alert"));
    assert!(page.find("listeners").is_none());

    let old = page.get("error");
    page.click("join", 1);
    assert_eq!(state(), "connecting", "another try");
    until("the old error is gone", || !old.is_connected()).await;
}

#[wasm_bindgen_test]
async fn stop_works_before_there_is_a_connection() {
    let page = Page::open(NOBODY);
    page.click("join", 1);
    until("Join has become Stop", || page.find("stop").is_some()).await;
    assert_eq!(page.text("stop"), "Stop");
    page.click("stop", 1);
    assert_eq!(state(), "idle");
    until("Stop has become Join", || page.find("join").is_some()).await;
    assert!(page.find("error").is_none(), "stopping is no error");
}

#[wasm_bindgen_test]
async fn the_delay_moves_in_steps_within_its_bounds_and_is_remembered() {
    let page = Page::open(NOBODY);
    let shown = |page: &Page| page.get("delay").unchecked_into::<HtmlInputElement>().value();
    page.click("delay-step-10", 1);
    page.click("delay-step--1", 1);
    until("the number follows", || shown(&page) == "9").await;
    let again = Page::open(NOBODY);
    until("the next visit begins with it", || shown(&again) == "9").await;
    again.choose("output", "bluetooth");
    until("another output has its own", || shown(&again) == "0").await;
    again.click("delay-step-10", 1);
    until("which moves", || shown(&again) == "10").await;
    again.choose("output", "speakers");
    until("and the first still has its", || shown(&again) == "9").await;
    again.type_into("delay", "9999");
    until("what is too much is cut", || shown(&again) == "5000").await;
    again.type_into("delay", "0");
    until("and back", || shown(&again) == "0").await;
}

#[wasm_bindgen_test]
async fn a_double_click_on_join_does_not_stop() {
    let page = Page::open(NOBODY);
    page.click("join", 1);
    until("Join has become Stop", || page.find("stop").is_some()).await;
    page.click("stop", 2);
    assert_eq!(state(), "connecting");
    page.click("stop", 0);
    assert_eq!(state(), "idle", "a key press counts as no click");
}

#[wasm_bindgen_test]
async fn an_address_that_is_none_is_said_at_once() {
    let page = Page::open("kitchen:8927");
    assert_eq!(state(), "error");
    until("the page says so", || page.find("error").is_some()).await;
    assert!(page.text("error").contains("kitchen:8927"));
    page.click("join", 1);
    assert_eq!(state(), "error");
    assert!(page.find("stop").is_none());
}

#[wasm_bindgen_test]
async fn volume_and_mute_are_remembered() {
    {
        let page = Page::open(NOBODY);
        page.slide_to(35);
        page.click("mute", 1);
        until("mute is on", || {
            page.get("mute").get_attribute("aria-pressed").as_deref() == Some("true")
        })
        .await;
    }
    let page = Page::open(NOBODY);
    until("the slider stands where it stood", || page.slider() == "35").await;
    assert_eq!(page.get("mute").get_attribute("aria-pressed").as_deref(), Some("true"));
    page.click("mute", 1);
    let storage = window().local_storage().unwrap().unwrap();
    assert_eq!(storage.get_item("partyline.muted").unwrap().as_deref(), Some("false"));
}

#[wasm_bindgen_test]
async fn nonsense_in_the_storage_is_not_believed() {
    let storage = window().local_storage().unwrap().unwrap();
    for nonsense in ["101", "-1", "loud", ""] {
        storage.set_item("partyline.volume", nonsense).unwrap();
        let page = Page::open(NOBODY);
        until(&format!("{nonsense:?} has become 80"), || page.slider() == "80").await;
    }
}

#[wasm_bindgen_test]
fn works_where_storage_is_forbidden() {
    let getter = Closure::<dyn Fn() -> Result<JsValue, JsValue>>::new(|| Err("forbidden".into()));
    let forbidden = js_sys::Object::new();
    set(&forbidden, "get", getter.as_ref());
    set(&forbidden, "configurable", &true.into());
    let own = js_sys::Object::get_own_property_descriptor(&window(), &"localStorage".into());
    js_sys::Object::define_property(&window(), &"localStorage".into(), &forbidden);
    assert!(window().local_storage().is_err(), "the browser of this test keeps nothing");

    let page = Page::open(NOBODY);
    page.slide_to(20);
    page.click("join", 1);
    assert_eq!(state(), "connecting");
    assert_eq!(page.slider(), "20");
    page.click("join", 1);

    js_sys::Object::define_property(&window(), &"localStorage".into(), own.unchecked_ref());
    assert!(window().local_storage().is_ok());
}

#[wasm_bindgen_test]
fn stats_are_complete_before_anything_plays() {
    let page = Page::open(NOBODY);
    let partyline = js_sys::Reflect::get(&window(), &"partyline".into()).unwrap();
    let stats = js_sys::Reflect::get(&partyline, &"stats".into()).unwrap();
    let stats = stats.unchecked_into::<js_sys::Function>().call0(&partyline).unwrap();
    let names = js_sys::Object::keys(stats.unchecked_ref::<js_sys::Object>());
    let names: Vec<_> = names.iter().map(|name| name.as_string().unwrap()).collect();
    assert_eq!(names, FIGURES);
    let figure = |name: &str| js_sys::Reflect::get(&stats, &name.into()).unwrap();
    assert_eq!(figure("state"), "idle");
    assert_eq!(figure("syncErrorUs"), JsValue::NULL, "not measured is not zero");
    for name in FIGURES {
        page.get(&format!("stat-{name}"));
    }
}

#[wasm_bindgen_test]
async fn the_panel_says_in_words_what_happens() {
    let page = Page::open(NOBODY);
    assert_eq!(page.text("sync-words"), "");
    page.get("sync").unchecked_into::<HtmlDetailsElement>().set_open(true);
    until("the panel has words", || page.text("sync-words") == "Not listening").await;
    assert_eq!(page.text("stat-state"), "idle");
    assert_eq!(page.text("stat-syncErrorUs"), "–");
    page.click("join", 1);
    until("the panel follows", || page.text("stat-state") == "connecting").await;
    until("Join has become Stop", || page.find("stop").is_some()).await;
    page.click("stop", 1);
    until("the panel follows again", || page.text("stat-state") == "idle").await;
    assert_eq!(document().title(), "Partyline");
}

fn set(object: &js_sys::Object, name: &str, value: &JsValue) {
    js_sys::Reflect::set(object, &name.into(), value).unwrap();
}
