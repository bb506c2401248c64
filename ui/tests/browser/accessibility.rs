//! Every state of the page, in both themes and languages, looked at by axe-core: it finds nothing.
//!
//! The script is not the project's and not in the repository: `cargo xtask test` installs it and names it in `AXE`.

use js_sys::{Function, Promise, Reflect};
use leptos::prelude::document;
use player_wasm::player::{Event, Failure, PartyState, Rights};
use player_wasm::stats::State;
use ui::language::Language;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{HtmlDetailsElement, HtmlElement};

use crate::calibration::{done, stages};
use crate::party::{COMMANDS, arrival, controller, party, track};
use crate::support::{NOBODY, Page, settled};

const AXE: &str = include_str!(env!("AXE"));
const STYLE: &str = include_str!("../../style.css");

/// WCAG 2.2 AA, and what axe recommends beside it.
const RULES: &str =
    "({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })";

/// A state of the page: its name and what a player tells to bring it about.
fn states() -> Vec<(&'static str, Vec<Event>)> {
    let after_arrival = |events: Vec<Event>| arrival().into_iter().chain(events).collect();
    let refused = Failure::Refused { code: 1013, reason: "full".to_owned() };
    let old_key = PartyState { key_refused: true, ..PartyState::default() };
    vec![
        ("idle", vec![]),
        ("connecting", vec![Event::State(State::Connecting)]),
        ("buffering", vec![Event::State(State::Connecting), Event::State(State::Buffering)]),
        ("guest", after_arrival(vec![track(1_000), Event::Party(party(Rights::Listen))])),
        (
            "host",
            after_arrival(vec![track(0), controller(&COMMANDS), Event::Party(party(Rights::Host))]),
        ),
        ("calibrating", after_arrival(vec![Event::Calibration(stages()[5])])),
        ("calibrated", after_arrival(vec![Event::Calibration(done())])),
        ("paused", after_arrival(vec![track(0), Event::Ended(true)])),
        ("over", after_arrival(vec![Event::Ended(true)])),
        ("reconnecting", after_arrival(vec![track(0), Event::State(State::Reconnecting)])),
        ("interrupted", after_arrival(vec![track(0), Event::Interrupted(true)])),
        ("old key", after_arrival(vec![track(0), Event::Party(old_key)])),
        ("no server", vec![Event::State(State::Error), Event::Failed(Failure::NoServer)]),
        ("full", vec![Event::State(State::Error), Event::Failed(refused)]),
    ]
}

#[wasm_bindgen_test]
async fn axe_finds_nothing() {
    js_sys::eval(AXE).unwrap();
    let mut found = Vec::new();
    for (theme, style) in themes() {
        for language in [Language::English, Language::German] {
            language.choose();
            for (state, events) in states() {
                let page = Page::open(NOBODY);
                page.tell(events);
                for fold in ["sync", "calibrate"] {
                    page.get(fold).unchecked_into::<HtmlDetailsElement>().set_open(true);
                }
                page.click("share", 1);
                settled().await;
                // The sheet hides what is behind it: once with it, once without.
                found.extend(
                    violations(&page, &format!("{state}, {theme}, {language:?}, sheet")).await,
                );
                page.click("share-close", 1);
                found.extend(violations(&page, &format!("{state}, {theme}, {language:?}")).await);
            }
        }
        style.remove();
    }
    Language::English.choose();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The page's style in each theme, on the page as long as it is the theme's turn.
fn themes() -> impl Iterator<Item = (&'static str, HtmlElement)> {
    let dark = STYLE.replace("(prefers-color-scheme: dark)", "all");
    [("light", STYLE.to_owned()), ("dark", dark + ":root { color-scheme: dark }")].into_iter().map(
        |(theme, text)| {
            let style = document().create_element("style").unwrap();
            style.set_text_content(Some(&text));
            document().head().unwrap().append_child(&style).unwrap();
            (theme, style.unchecked_into())
        },
    )
}

#[wasm_bindgen_test]
async fn axe_sees_what_is_wrong() {
    js_sys::eval(AXE).unwrap();
    let page = Page::open(NOBODY);
    settled().await;
    page.get("share").remove_attribute("aria-label").unwrap();
    let found = violations(&page, "a button without a name").await;
    assert!(found.iter().any(|it| it.contains("button-name")), "{found:?}");
}

/// What axe has to say about the page, one line for each rule.
async fn violations(page: &Page, place: &str) -> Vec<String> {
    let axe = Reflect::get(&js_sys::global(), &"axe".into()).unwrap();
    let run = Reflect::get(&axe, &"run".into()).unwrap().unchecked_into::<Function>();
    let rules = js_sys::eval(RULES).unwrap();
    let asked = run.call2(&axe, page.root(), &rules).unwrap().unchecked_into::<Promise>();
    let answer = JsFuture::from(asked).await.unwrap();
    let broken = Reflect::get(&answer, &"violations".into()).unwrap();
    let line = |rule: JsValue| {
        let id = Reflect::get(&rule, &"id".into()).unwrap().as_string().unwrap_or_default();
        let nodes = Reflect::get(&rule, &"nodes".into()).unwrap();
        let first = js_sys::Array::from(&nodes).get(0);
        let html = Reflect::get(&first, &"html".into()).unwrap().as_string().unwrap_or_default();
        format!("{place}: {id}: {html}")
    };
    js_sys::Array::from(&broken).iter().map(line).collect()
}
