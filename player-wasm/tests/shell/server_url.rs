use player_wasm::browser::default_server_url;
use player_wasm::browser::server_url::server_url_of;
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn the_server_is_beside_the_page_on_the_matching_scheme() {
    for (page, server) in [
        ("http://10.0.0.7:8927/", "ws://10.0.0.7:8927/sendspin"),
        ("http://party.local/?x=1#top", "ws://party.local/sendspin"),
        ("https://party.example/", "wss://party.example/sendspin"),
        ("https://home.example/party/index.html", "wss://home.example/party/sendspin"),
        ("http://[::1]:9/", "ws://[::1]:9/sendspin"),
    ] {
        assert_eq!(server_url_of(page).as_deref(), Ok(server), "{page}");
    }
}

#[wasm_bindgen_test]
fn the_page_may_name_another_server() {
    for (named, server) in [
        ("ws://other:1234/x", Ok("ws://other:1234/x")),
        ("WSS%3A%2F%2Fother%2Fx%3Fa%3Db", Ok("WSS://other/x?a=b")),
        ("http://other/", Err("http://other/")),
        ("javascript:alert(1)", Err("javascript:alert(1)")),
        ("other", Err("other")),
        ("", Err("")),
    ] {
        let url = server_url_of(&format!("http://page/?a=b&server={named}"));
        assert_eq!(url.as_deref().map_err(String::as_str), server, "{named}");
    }
}

#[wasm_bindgen_test]
fn a_page_without_a_server_has_none() {
    assert_eq!(server_url_of("file:///tmp/index.html"), Err("file:///tmp/index.html".to_owned()));
    assert_eq!(server_url_of("nonsense"), Err("nonsense".to_owned()));
}

#[wasm_bindgen_test]
fn this_page_has_one() {
    let url = default_server_url().unwrap();
    let host = web_sys::window().unwrap().location().host().unwrap();
    assert_eq!(url, format!("ws://{host}/sendspin"));
}
