//! Which server a page listens to when nobody says otherwise.

use web_sys::{Url, UrlSearchParams};

use super::window;

/// The WebSocket address of the server that the page came from, or the one that `?server=` of the page's
/// address names.
///
/// # Errors
///
/// The text of `?server=` when its scheme is neither `ws` nor `wss`, and the page's own address when it has
/// no server, as with `file:`.
pub fn default_server_url() -> Result<String, String> {
    let page = window().location().href().unwrap_or_default();
    server_url_of(&page)
}

/// What [`default_server_url`] is for a page at `page`.
///
/// # Errors
///
/// As [`default_server_url`].
pub fn server_url_of(page: &str) -> Result<String, String> {
    let parsed = Url::new(page).map_err(|_| page.to_owned())?;
    let query = UrlSearchParams::new_with_str(&parsed.search());
    if let Some(named) = query.ok().and_then(|query| query.get("server")) {
        let scheme = named.split_once("://").map(|(scheme, _)| scheme);
        return match scheme.map(str::to_ascii_lowercase).as_deref() {
            Some("ws" | "wss") => Ok(named),
            _ => Err(named),
        };
    }
    let scheme = match parsed.protocol().as_str() {
        "https:" => "wss:",
        "http:" => "ws:",
        _ => return Err(page.to_owned()),
    };
    // Beside the page, so that a proxy may serve both below a path of its own.
    let socket = Url::new_with_base("sendspin", page).map_err(|_| page.to_owned())?;
    socket.set_protocol(scheme);
    Ok(socket.href())
}
