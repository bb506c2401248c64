use player_wasm::browser::host_clock;
use player_wasm::browser::socket::{Arrival, Socket};
use player_wasm::player::Disconnect;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::support::{Inbox, until};

/// Nothing listens there, and browsers do not refuse to try.
pub(crate) const CLOSED_PORT: &str = "ws://127.0.0.1:65534/sendspin";

#[wasm_bindgen_test]
async fn a_closed_port_is_a_disconnect_with_its_time() {
    let inbox = Inbox::default();
    let put = inbox.clone();
    let before = host_clock::now();
    let _socket = Socket::open(CLOSED_PORT, move |now, arrival| put.put((now, arrival))).unwrap();
    assert!(inbox.take().is_none(), "told before it returned");
    let (at, arrival) = inbox.next().await;
    assert!((before..=host_clock::now()).contains(&at));
    let Arrival::Closed(how) = arrival else { panic!("{arrival:?}") };
    assert_eq!(how.code, 1006);
}

#[wasm_bindgen_test]
fn what_is_no_address_is_refused_with_the_browser_s_words() {
    for url in ["ws://", "ftp://127.0.0.1/", "ws://127.0.0.1/#part"] {
        let refused = Socket::open(url, |_, arrival| panic!("{arrival:?}"));
        let Err(Disconnect { code, reason }) = refused else { panic!("{url} was accepted") };
        assert_eq!(code, 1006);
        assert!(reason.contains("SyntaxError"), "{reason}");
    }
}

#[wasm_bindgen_test]
fn nothing_can_be_sent_before_the_connection_is_open() {
    let socket = Socket::open(CLOSED_PORT, |_, _| {}).unwrap();
    assert_eq!(socket.send("hello").unwrap_err().code, 1006);
}

#[wasm_bindgen_test]
async fn a_dropped_socket_is_silent() {
    let (dropped, kept) = (Inbox::default(), Inbox::default());
    let (put_dropped, put_kept) = (dropped.clone(), kept.clone());
    drop(Socket::open(CLOSED_PORT, move |_, arrival| put_dropped.put(arrival)).unwrap());
    let _kept = Socket::open(CLOSED_PORT, move |_, arrival| put_kept.put(arrival)).unwrap();
    // By then the other, which was opened earlier, would have told the same.
    kept.next().await;
    assert_eq!(dropped.take(), None);
}

#[wasm_bindgen_test]
async fn a_socket_may_be_dropped_by_what_it_calls() {
    let socket = Inbox::<Socket>::default();
    let closed = Inbox::default();
    let (own, put) = (socket.clone(), closed.clone());
    let opened = Socket::open(CLOSED_PORT, move |_, arrival| {
        drop(own.take());
        // What the closure holds is still there.
        put.put(arrival);
    });
    socket.put(opened.unwrap());
    assert!(matches!(closed.next().await, Arrival::Closed(_)));
    until("the socket is gone", || socket.take().is_none().then_some(())).await;
}
