//! Which server this page listens to, and where that server tells how many others do.

use leptos::prelude::window;
use player_wasm::browser::default_server_url;
use web_sys::Url;

/// The server to listen to: its WebSocket address, or what stands in its place and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// An address with the scheme `ws` or `wss`.
    Valid(String),
    /// The text that was given instead of one.
    Invalid(String),
}

impl ServerAddress {
    /// The server named by `?server=` of the page's address; without it, the one the page came from.
    #[must_use]
    pub fn of_page() -> Self {
        match default_server_url() {
            Ok(url) => Self::parse(&url),
            Err(given) => Self::Invalid(given),
        }
    }

    /// Takes `text` for an address if a WebSocket could be opened with it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match Url::new(text) {
            Ok(url)
                if matches!(url.protocol().as_str(), "ws:" | "wss:") && !url.host().is_empty() =>
            {
                // A WebSocket address has no fragment; browsers refuse one.
                url.set_hash("");
                Self::Valid(url.href())
            }
            _ => Self::Invalid(text.to_owned()),
        }
    }

    /// Host and port, for people; the text itself when it is no address.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Valid(url) => Url::new(url).map_or_else(|_| url.clone(), |url| url.host()),
            Self::Invalid(text) => text.clone(),
        }
    }

    /// Where the same server serves `/api/status`: beside its WebSocket, over http for `ws` and https for `wss`.
    #[must_use]
    pub fn status_url(&self) -> Option<String> {
        self.beside("api/status")
    }

    /// Where the same server serves `path`: beside its WebSocket, as in [`Self::status_url`].
    #[must_use]
    pub fn beside(&self, path: &str) -> Option<String> {
        let Self::Valid(socket) = self else {
            return None;
        };
        // `ws` becomes `http`, `wss` becomes `https`.
        let page = socket.replacen("ws", "http", 1);
        Url::new_with_base(path, &page).ok().map(|url| url.href())
    }

    /// Whether the page itself came from this server.
    #[must_use]
    pub fn is_of_page(&self) -> bool {
        window().location().host().is_ok_and(|host| host == self.host())
    }
}
