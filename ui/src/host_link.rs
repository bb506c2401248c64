//! The host's link: `…/#host=KEY`. Whoever has the key may control the party.
//!
//! A fragment is never sent with a request and never stands in a referrer. The page takes the key out of the address bar at
//! once, so that it is not on every screenshot, in every shared link and in the history, and keeps it for the server it
//! belongs to. It leaves the page in the hello alone.

use leptos::prelude::window;
use wasm_bindgen::JsValue;
use web_sys::UrlSearchParams;

use crate::remembered;
use crate::server_address::ServerAddress;

/// Longest key that is taken for one, characters.
const KEY_CHARS_MAX: usize = 200;

/// Takes the key out of the page's address and keeps it for `server`.
pub(crate) fn take_from_address(server: &ServerAddress) {
    let Ok(fragment) = window().location().hash() else { return };
    let Some(key) = key_of(&fragment) else { return };
    remembered::set_host_key(&server.host(), Some(&key));
    let Ok(address) = window().location().href() else { return };
    let without = address.split('#').next().unwrap_or_default();
    let history = window().history();
    // Refused where the page is a file: then the key stays where it was.
    drop(history.and_then(|it| it.replace_state_with_url(&JsValue::NULL, "", Some(without))));
}

/// The key for `server` that this browser keeps.
pub(crate) fn key(server: &ServerAddress) -> Option<String> {
    remembered::host_key(&server.host()).filter(|key| is_key(key))
}

/// Forgets a key that the server does not know any more.
pub(crate) fn forget(server: &ServerAddress) {
    remembered::set_host_key(&server.host(), None);
}

fn key_of(fragment: &str) -> Option<String> {
    let fragment = fragment.strip_prefix('#')?;
    let key = UrlSearchParams::new_with_str(fragment).ok()?.get("host")?;
    is_key(&key).then_some(key)
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().count() <= KEY_CHARS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn the_key_is_the_hosts_part_of_the_fragment() {
        assert_eq!(key_of("#host=Abc-123_x").as_deref(), Some("Abc-123_x"));
        assert_eq!(key_of("#lang=de&host=a%20b").as_deref(), Some("a b"));
        for none in ["", "#", "#host=", "#ghost=x", "host=x"] {
            assert_eq!(key_of(none), None, "{none}");
        }
        assert_eq!(key_of(&format!("#host={}", "x".repeat(KEY_CHARS_MAX + 1))), None);
    }

    #[wasm_bindgen_test]
    fn a_key_leaves_the_address_bar_and_is_kept_for_its_server_alone() {
        let [here, there] = ["ws://here/sendspin", "ws://there/sendspin"].map(ServerAddress::parse);
        window().location().set_hash("host=k1").unwrap();
        take_from_address(&here);
        assert!(!window().location().href().unwrap().contains("k1"));
        assert_eq!((key(&here).as_deref(), key(&there)), (Some("k1"), None));
        forget(&here);
        assert_eq!(key(&here), None);
    }
}
