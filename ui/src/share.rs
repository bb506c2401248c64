//! The address of this page as others can open it, and ways to hand it on.

use fast_qr::QRBuilder;
use js_sys::{Function, Object, Promise, Reflect};
use leptos::prelude::window;
use std::fmt::Write as _;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Url;

/// White around a QR code that readers need (ISO/IEC 18004), modules.
const QUIET: usize = 4;

/// The page's address with the server that it listens to, and nothing else that it was opened with: never a key.
#[must_use]
pub fn address() -> String {
    let href = window().location().href().unwrap_or_default();
    Url::new(&href).map_or_else(|_| String::new(), |url| shared(&url))
}

fn shared(url: &Url) -> String {
    let server = url.search_params().get("server");
    url.set_hash("");
    url.set_search("");
    if let Some(server) = server {
        url.search_params().set("server", &server);
    }
    url.href()
}

/// Whether an address leads everybody to their own device.
#[must_use]
pub fn is_here_only(address: &str) -> bool {
    let host = Url::new(address).map(|url| url.hostname()).unwrap_or_default();
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

/// A QR code as the side of a square and the path of its dark modules in it.
#[must_use]
pub fn qr_code(text: &str) -> Option<(usize, String)> {
    let code = QRBuilder::new(text).build().ok()?;
    let mut path = String::new();
    for y in 0..code.size {
        let mut x = 0;
        while x < code.size {
            let run = code[y][x..code.size].iter().take_while(|module| module.value()).count();
            if run > 0 {
                // Writing to a string does not fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run + 1;
        }
    }
    Some((code.size + 2 * QUIET, path))
}

/// Whether the system has a share sheet: on secure pages of phones, mostly.
#[must_use]
pub fn has_sheet() -> bool {
    sheet().is_some()
}

/// Opens the system's share sheet. To be called in a click.
pub(crate) fn open_sheet(title: &str, address: &str) {
    let Some(share) = sheet() else { return };
    let what = Object::new();
    for (name, value) in [("title", title), ("url", address)] {
        // Throws only for what is no object.
        let _ = Reflect::set(&what, &name.into(), &value.into());
    }
    let shared = share.call1(&window().navigator(), &what);
    if let Some(Ok(shared)) = shared.ok().map(JsCast::dyn_into::<Promise>) {
        // Rejected when the person thinks better of it.
        crate::system::settle(shared);
    }
}

fn sheet() -> Option<Function> {
    Reflect::get(&window().navigator(), &JsValue::from("share")).ok()?.dyn_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn what_is_shared_has_the_server_and_no_key() {
        let of = |text: &str| shared(&Url::new(text).unwrap());
        assert_eq!(of("http://a.test/p/?autoplay&lang=de#host=secret"), "http://a.test/p/");
        assert_eq!(
            of("http://a.test/?server=ws://b:1/s#host=secret"),
            "http://a.test/?server=ws%3A%2F%2Fb%3A1%2Fs"
        );
    }

    #[wasm_bindgen_test]
    fn an_address_of_this_device_is_known_for_one() {
        for here in ["http://localhost:8927/", "http://127.0.0.1:1/", "http://[::1]:1/"] {
            assert!(is_here_only(here), "{here}");
        }
        assert!(!is_here_only("http://192.168.1.20:8927/"));
    }

    #[wasm_bindgen_test]
    fn a_code_has_its_three_corners_and_white_around_them() {
        let (side, path) = qr_code("http://192.168.1.20:8927/").unwrap();
        assert!(side >= 21 + 2 * QUIET, "{side}");
        assert!(path.starts_with("M4 4h7v1h-7z"), "{path}");
        assert!(path.contains(&format!("M{} 4h7v1h-7z", side - QUIET - 7)), "{path}");
        assert_eq!(qr_code(&"x".repeat(9_000)), None, "too long for any code");
    }
}
