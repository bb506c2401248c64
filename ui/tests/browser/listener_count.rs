//! The listener count with real requests: a `data:` address is answered by the browser itself.

use crate::support::until;
use leptos::mount::mount_to;
use leptos::prelude::*;
use ui::listener_count::{Poll, Status};
use ui::server_address::ServerAddress;
use wasm_bindgen::JsCast;
use wasm_bindgen_test::wasm_bindgen_test;

/// What the count becomes after one answer of `url`, from something else before.
async fn answer_of(url: &str) -> Option<(u32, bool)> {
    let owner = Owner::new();
    owner.set();
    let unasked = Status { total_clients: 999, waiting: false };
    let (status, set_status) = signal(Some(unasked));
    let shown = document().create_element("output").unwrap();
    document().body().unwrap().append_child(&shown).unwrap();
    let _mounted =
        mount_to(shown.clone().unchecked_into(), move || move || format!("{:?}", status.get()));
    let _poll = Poll::start(url.to_owned(), set_status);
    until("there is an answer", || status.get_untracked() != Some(unasked)).await;
    shown.remove();
    status.get_untracked().map(|status| (status.total_clients, status.waiting))
}

#[wasm_bindgen_test]
async fn takes_the_number_and_nothing_else() {
    for (body, expected) in [
        (r#"data:application/json,{"total_clients":2}"#, Some((2, false))),
        (r#"data:application/json,{"name":"Kitchen","total_clients":0}"#, Some((0, false))),
        (r#"data:application/json,{"total_clients":3,"waiting":true}"#, Some((3, true))),
        ("data:application/json,{}", None),
        (r#"data:application/json,{"total_clients":-1}"#, None),
        (r#"data:application/json,{"total_clients":"many"}"#, None),
        ("data:text/html,<h1>moved</h1>", None),
        ("http://127.0.0.1:47/api/status", None),
    ] {
        assert_eq!(answer_of(body).await, expected, "{body}");
    }
}

#[wasm_bindgen_test]
fn status_is_beside_the_socket() {
    for (socket, status) in [
        ("ws://party.local:8927/sendspin", "http://party.local:8927/api/status"),
        ("wss://party.example/sendspin", "https://party.example/api/status"),
        ("wss://home.example/ws/sendspin?x=1#y", "https://home.example/ws/api/status"),
        ("ws://[fe80::1]:8927/sendspin", "http://[fe80::1]:8927/api/status"),
    ] {
        assert_eq!(ServerAddress::parse(socket).status_url().as_deref(), Some(status));
    }
}

#[wasm_bindgen_test]
fn only_socket_addresses_are_addresses() {
    for text in
        ["", "party.local", "http://party.local/sendspin", "ws://", "ws:", "javascript:alert(1)"]
    {
        let address = ServerAddress::parse(text);
        assert_eq!(address, ServerAddress::Invalid(text.to_owned()));
        assert_eq!(address.status_url(), None);
    }
}
