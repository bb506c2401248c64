//! The microphone: what it hears comes, and it is let go of on every way out.

use player_wasm::browser::audio_output::{AudioOutput, Notice};
use player_wasm::browser::microphone::{self, Heard, Microphone};
use player_wasm::player::MicrophoneTrouble;
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::support::{Broken, Inbox, until};

/// Lends a tone in place of the machine's microphone, and keeps what was asked for and lent.
const LEND: &str = "(asked) => {
    const context = new AudioContext();
    const tone = new OscillatorNode(context, { frequency: 1000 });
    const lent = context.createMediaStreamDestination();
    tone.connect(lent);
    tone.start();
    Object.assign(window, { __asked: asked, __lent: lent.stream });
    return Promise.resolve(lent.stream);
}";

fn browser_that(answers: &str) -> Broken {
    Broken::new("MediaDevices.prototype", "getUserMedia", answers)
}

fn read(script: &str) -> JsValue {
    js_sys::eval(script).unwrap()
}

fn track_is(state: &str) -> bool {
    read(&format!("window.__lent?.getTracks()[0].readyState === '{state}'")) == JsValue::TRUE
}

async fn running() -> AudioOutput {
    let inbox = Inbox::default();
    let put = inbox.clone();
    let output = AudioOutput::open(move |notice| put.put(notice)).unwrap();
    output.resume();
    assert_eq!(inbox.next().await, Notice::Running);
    output
}

fn open(output: &AudioOutput) -> (Microphone, Inbox<Heard>) {
    let inbox = Inbox::default();
    let put = inbox.clone();
    (output.open_microphone(move |heard| put.put(heard)), inbox)
}

#[wasm_bindgen_test]
async fn sound_comes_as_it_is_until_the_microphone_is_dropped_and_again() {
    assert!(microphone::is_supported());
    let _lends = browser_that(LEND);
    let output = running().await;
    for _ in 0..2 {
        let (microphone, inbox) = open(&output);
        let mut loudest = 0.0_f32;
        for _ in 0..4 {
            let Heard::Sound(samples) = inbox.next().await else { panic!("no sound") };
            assert_eq!(samples.len(), 4_096);
            loudest = samples.iter().fold(loudest, |loudest, sample| loudest.max(sample.abs()));
        }
        assert!(loudest > 0.5, "the tone is full scale, heard was {loudest}");
        let asked = read("JSON.stringify(window.__asked.audio)").as_string().unwrap();
        for processing in ["echoCancellation", "noiseSuppression", "autoGainControl"] {
            assert!(asked.contains(&format!("\"{processing}\":false")), "{asked}");
        }
        assert!(track_is("live"));
        drop(microphone);
        assert!(track_is("ended"), "the browser still shows that it records");
    }
}

#[wasm_bindgen_test]
async fn a_refusal_is_told_by_its_kind() {
    let output = running().await;
    for (name, trouble) in [
        ("NotAllowedError", MicrophoneTrouble::NotAllowed),
        ("SecurityError", MicrophoneTrouble::NotAllowed),
        ("NotFoundError", MicrophoneTrouble::NotFound),
        ("NotReadableError", MicrophoneTrouble::NotFound),
    ] {
        let refusal = format!("() => Promise.reject(new DOMException('no', '{name}'))");
        let _refuses = browser_that(&refusal);
        let (_microphone, inbox) = open(&output);
        assert_eq!(inbox.next().await, Heard::Trouble(trouble), "{name}");
    }
    let _throws = browser_that("() => { throw new TypeError('no') }");
    let (_microphone, inbox) = open(&output);
    assert_eq!(inbox.next().await, Heard::Trouble(MicrophoneTrouble::NotFound));
}

#[wasm_bindgen_test]
async fn a_microphone_that_is_unplugged_is_told() {
    let _lends = browser_that(LEND);
    let output = running().await;
    let (_microphone, inbox) = open(&output);
    assert!(matches!(inbox.next().await, Heard::Sound(_)));
    read("window.__lent.getTracks()[0].dispatchEvent(new Event('ended'))");
    let lost =
        until("the end is told", || inbox.take().filter(|it| !matches!(it, Heard::Sound(_))));
    assert_eq!(lost.await, Heard::Trouble(MicrophoneTrouble::Lost));
}

#[wasm_bindgen_test]
async fn a_microphone_that_comes_too_late_is_given_back() {
    let later = format!(
        "(asked) => new Promise((grant) => (window.__grant = () => grant(({LEND})(asked))))"
    );
    let _waits = browser_that(&later);
    read("window.__lent = window.__grant = undefined");
    let output = running().await;
    let (microphone, inbox) = open(&output);
    until("the browser asks", || (read("window.__grant") != JsValue::UNDEFINED).then_some(()))
        .await;
    drop(microphone);
    read("window.__grant()");
    until("it is given back", || track_is("ended").then_some(())).await;
    assert_eq!(inbox.take(), None);
}
