//! What the page shows of a calibration.

use player_wasm::calibration::Doubt;
use player_wasm::player::{Calibration, Event, MicrophoneTrouble, Refusal};
use player_wasm::stats::State;
use ui::language::Language;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{HtmlInputElement, HtmlSelectElement};

use crate::party::arrival;
use crate::support::{NOBODY, Page, until};

/// Every stage of which a page has something to say.
pub(crate) fn stages() -> Vec<Calibration> {
    let measuring = |rounds, heard_other, heard_this| Calibration::Measuring {
        rounds,
        heard_other,
        heard_this,
    };
    let doubts = [
        Doubt::NothingHeard,
        Doubt::OtherNotHeard,
        Doubt::ThisNotHeard,
        Doubt::Unsteady,
        Doubt::TooFarApart,
    ];
    let troubles = [
        MicrophoneTrouble::NotAllowed,
        MicrophoneTrouble::NotFound,
        MicrophoneTrouble::Lost,
        MicrophoneTrouble::NoAnswer,
    ];
    let refusals = [Refusal::NothingPlays].into_iter();
    let refusals = refusals.chain(doubts.map(Refusal::Doubt));
    let refusals = refusals.chain(troubles.map(Refusal::Microphone)).map(Calibration::Refused);
    let going_on = [
        Calibration::PlayingAlong,
        Calibration::Asking,
        measuring(0, false, false),
        measuring(0, true, false),
        measuring(0, false, true),
        measuring(3, true, true),
        done(),
    ];
    going_on.into_iter().chain(refusals).collect()
}

/// The delay went from 3 to 40 ms.
pub(crate) fn done() -> Calibration {
    Calibration::Done { late_ms: 37.4, within_ms: 0.74, delay_ms: 40, before_ms: 3 }
}

fn at_a_party() -> Page {
    let page = Page::open(NOBODY);
    page.tell(arrival());
    page
}

#[wasm_bindgen_test]
async fn it_is_offered_only_at_a_party() {
    let page = Page::open(NOBODY);
    assert!(!page.is_visible("calibrate"));
    page.tell(arrival());
    until("it is offered", || page.is_visible("calibrate")).await;
    assert!(page.is_visible("calibrate-along") && page.is_visible("calibrate-measure"));
    assert!(page.text("calibrate-note").contains("microphone of one"));
    assert_eq!(page.text("calibrate-words"), "");
    page.tell([Event::State(State::Idle)]);
    until("it is gone with the party", || !page.is_visible("calibrate")).await;
}

#[wasm_bindgen_test]
async fn every_stage_has_words_that_are_read_out() {
    for language in [Language::English, Language::German] {
        language.choose();
        let page = at_a_party();
        let region = page.get("calibrate-words");
        assert_eq!(region.get_attribute("role").as_deref(), Some("status"));
        let mut said = vec![String::new()];
        for stage in stages() {
            page.tell([Event::Calibration(stage)]);
            until(&format!("{stage:?} has words of its own"), || {
                !said.contains(&page.text("calibrate-words"))
            })
            .await;
            let words = page.text("calibrate-words");
            assert!(!words.contains(['{', '}']), "{words}");
            said.push(words);
        }
    }
    Language::English.choose();
}

#[wasm_bindgen_test]
async fn the_button_that_began_it_ends_it_and_the_other_one_waits() {
    let page = at_a_party();
    for (stage, began, other) in [
        (Calibration::PlayingAlong, "calibrate-along", "calibrate-measure"),
        (Calibration::Asking, "calibrate-measure", "calibrate-along"),
    ] {
        let button = page.get(began);
        page.tell([Event::Calibration(stage)]);
        until("it ends it", || button.text_content().as_deref() == Some("End the chirps")).await;
        assert!(button.is_connected() && page.is_visible(began), "the focus would be lost");
        assert!(!page.is_visible(other));
        page.tell([Event::Calibration(Calibration::Off)]);
        until("both are there again", || page.is_visible(other)).await;
    }
}

#[wasm_bindgen_test]
async fn a_click_alone_changes_nothing_on_screen() {
    let page = at_a_party();
    until("it is offered", || page.is_visible("calibrate")).await;
    // There is no player behind these events: nobody answers.
    page.click("calibrate-measure", 1);
    page.click("calibrate-along", 1);
    page.tell([Event::Calibration(done())]);
    until("the page says what was measured", || page.text("calibrate-words").contains("+40 ms"))
        .await;
    assert_eq!(page.text("calibrate-measure"), "Measure with the microphone");
    assert_eq!(page.text("calibrate-undo"), "As before (+3 ms)");
    page.click("calibrate-undo", 1);
    assert!(page.is_visible("calibrate-undo"));
    page.tell([Event::Delay(3), Event::Calibration(Calibration::Off)]);
    until("the player did it", || !page.is_visible("calibrate-undo")).await;
    page.type_into("delay", "0");
}

#[wasm_bindgen_test]
async fn an_insecure_page_says_why_there_is_no_microphone() {
    let devices = "Object.getOwnPropertyDescriptor(Navigator.prototype, 'mediaDevices')";
    js_sys::eval(&format!("window.__devices = {devices}")).unwrap();
    define_devices("{ configurable: true, value: undefined }");
    let page = at_a_party();
    until("it is offered", || page.is_visible("calibrate")).await;
    assert!(page.find("calibrate-measure").is_none());
    assert!(page.is_visible("calibrate-along"));
    assert!(page.text("calibrate-note").contains("https"));
    define_devices("window.__devices");
}

/// A browser that tells the name of its output from now on, as Chromium does once a page may use the microphone.
#[wasm_bindgen_test]
async fn an_output_that_gets_a_name_keeps_its_delay() {
    let page = at_a_party();
    page.choose("output", "speakers");
    page.type_into("delay", "12");
    js_sys::eval("window.__enumerate = MediaDevices.prototype.enumerateDevices").unwrap();
    js_sys::eval(
        "MediaDevices.prototype.enumerateDevices = () => Promise.resolve([{ kind: 'audiooutput', \
         label: 'Loud Thing', deviceId: 'x', groupId: 'y' }])",
    )
    .unwrap();
    page.tell([Event::Calibration(stages()[2])]);
    let output = || page.get("output").unchecked_into::<HtmlSelectElement>().value();
    until("the output has its name", || output() == "Loud Thing").await;
    let delay = || page.get("delay").unchecked_into::<HtmlInputElement>().value();
    assert_eq!(delay(), "12");
    page.tell([Event::Delay(30)]);
    until("what is measured is remembered by that name", || {
        let storage = leptos::prelude::window().local_storage().unwrap().unwrap();
        storage.get_item("partyline.delay_ms.Loud Thing").unwrap().as_deref() == Some("30")
    })
    .await;
    js_sys::eval("MediaDevices.prototype.enumerateDevices = window.__enumerate").unwrap();
    page.choose("output", "speakers");
    page.type_into("delay", "0");
}

fn define_devices(descriptor: &str) -> JsValue {
    let script =
        format!("Object.defineProperty(Navigator.prototype, 'mediaDevices', {descriptor})");
    js_sys::eval(&script).unwrap()
}
