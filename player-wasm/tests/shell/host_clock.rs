use player_wasm::browser::host_clock::{from_millis, now};
use protocol::time::{ClientSpan, ClientTime};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::support::until;

#[wasm_bindgen_test]
fn milliseconds_become_the_nearest_microsecond() {
    assert_eq!(from_millis(1_234.567_4), ClientTime::from_micros(1_234_567));
    assert_eq!(from_millis(1_234.567_6), ClientTime::from_micros(1_234_568));
    assert_eq!(from_millis(f64::INFINITY), ClientTime::from_micros(i64::MAX));
    assert_eq!(from_millis(f64::NAN), ClientTime::from_micros(0));
}

#[wasm_bindgen_test]
async fn the_clock_goes_forward_at_the_speed_of_the_page() {
    let performance = web_sys::window().unwrap().performance().unwrap();
    let (began, began_ms) = (now(), performance.now());
    let mut last = began;
    let end = until("50 ms have passed", || {
        let reading = now();
        assert!(reading >= last, "{reading:?} after {last:?}");
        last = reading;
        (reading - began >= ClientSpan::from_millis(50)).then_some(reading)
    })
    .await;
    let page_ms = performance.now() - began_ms;
    let measured_ms = (end - began).as_secs_f64() * 1e3;
    // The two are not read at the same moment.
    assert!((page_ms - measured_ms).abs() < 20.0, "{measured_ms} ms, page: {page_ms} ms");
}
