use player_wasm::browser::audio_output::{AudioOutput, Notice};
use player_wasm::browser::host_clock;
use player_wasm::output_clock::{ContextFrame, DeviceReading};
use player_wasm::scheduler::Block;
use player_wasm::stats::OutputKind;
use protocol::time::ClientSpan;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::support::{Broken, Inbox, until};

async fn running() -> (AudioOutput, Inbox<Notice>) {
    let inbox = Inbox::default();
    let put = inbox.clone();
    let output = AudioOutput::open(move |notice| put.put(notice)).unwrap();
    output.resume();
    assert_eq!(inbox.next().await, Notice::Running);
    (output, inbox)
}

async fn reading_after(output: &AudioOutput, rendered_s: f64) -> DeviceReading {
    until("the output has gone on", || {
        output.reading().filter(|reading| reading.rendered_s > rendered_s)
    })
    .await
}

#[wasm_bindgen_test]
async fn readings_are_plausible_and_advance() {
    let (output, _inbox) = running().await;
    let first = reading_after(&output, 0.2).await;
    let second = reading_after(&output, first.rendered_s + 0.2).await;
    assert!((8_000..=384_000).contains(&first.rate_hz), "{first:?}");
    assert_eq!(second.rate_hz, first.rate_hz);
    let latency_s = second.latency_s.unwrap();
    assert!((0.0..2.0).contains(&latency_s), "{second:?}");
    let (context_s, at) = second.output_timestamp.unwrap();
    assert!(context_s > 0.0 && context_s <= second.rendered_s + 0.050, "{second:?}");
    // Browsers report moments that lie a little ahead; which to believe is the player's business.
    let age = host_clock::now() - at;
    assert!(age.abs() < ClientSpan::from_millis(500), "{age:?} old: {second:?}");
}

#[wasm_bindgen_test]
async fn a_resting_output_has_no_reading_and_comes_back() {
    let (output, inbox) = running().await;
    reading_after(&output, 0.0).await;
    output.suspend();
    until("it rests", || output.reading().is_none().then_some(())).await;
    output.resume();
    assert_eq!(inbox.next().await, Notice::Running);
    reading_after(&output, 0.0).await;
}

#[wasm_bindgen_test]
async fn an_output_may_be_resumed_before_it_came_to_rest() {
    let (output, _inbox) = running().await;
    let rested = reading_after(&output, 0.0).await;
    output.suspend();
    output.resume();
    reading_after(&output, rested.rendered_s + 0.3).await;
}

#[wasm_bindgen_test]
async fn a_secure_page_gets_the_worklet_and_it_lives() {
    let (output, inbox) = running().await;
    assert_eq!(output.kind(), OutputKind::Worklet);
    output.set_gain(0.1);
    output.play(Block { at: ContextFrame(9_600), pcm: [vec![0.01; 480], vec![0.01; 480]] });
    output.clear();
    reading_after(&output, 0.5).await;
    assert_eq!(inbox.take(), None);
}

/// What the output tells when the browser treats its script like this.
async fn told_of_script(add_module: &str) -> Notice {
    let _broken = Broken::new("Worklet.prototype", "addModule", add_module);
    let inbox = Inbox::default();
    let put = inbox.clone();
    let _output = AudioOutput::open(move |notice| put.put(notice)).unwrap();
    loop {
        match inbox.next().await {
            Notice::Running => {}
            notice => return notice,
        }
    }
}

#[wasm_bindgen_test]
async fn a_script_that_does_not_load_is_told_in_the_browser_s_words() {
    let told = told_of_script("() => Promise.reject(new Error('not today'))").await;
    assert_eq!(told, Notice::Failed("Error: not today".to_owned()));
    let told = told_of_script("() => { throw new Error('never') }").await;
    assert_eq!(told, Notice::Failed("Error: never".to_owned()));
}

#[wasm_bindgen_test]
async fn a_script_that_never_loads_is_given_up() {
    let told = told_of_script("() => new Promise(() => {})").await;
    assert!(matches!(told, Notice::Failed(what) if what.contains("in time")));
}

#[wasm_bindgen_test]
async fn an_output_that_was_asked_to_run_and_does_not_is_told() {
    let (output, inbox) = running().await;
    output.suspend();
    until("it rests", || output.reading().is_none().then_some(())).await;
    let _broken = Broken::new("AudioContext.prototype", "resume", "() => new Promise(() => {})");
    output.resume();
    assert_eq!(inbox.next().await, Notice::Blocked);
}

#[wasm_bindgen_test]
fn a_page_without_the_worklet_gets_buffer_sources() {
    let _broken = Broken::new("BaseAudioContext.prototype", "audioWorklet", "undefined");
    let output = AudioOutput::open(|_| {}).unwrap();
    assert_eq!(output.kind(), OutputKind::BufferSource);
}
