//! The page from top to bottom.

use leptos::prelude::*;

use crate::components::{Join, Listeners, Message, NowPlaying, Status, SyncStatus, Volume};
use crate::player_handle::PlayerHandle;
use crate::server_address::ServerAddress;
use crate::{system, texts};

/// The whole page, with a player of its own that listens to `server`.
///
/// The boxes stand in for those of `index.html`, at the same places.
#[component]
pub fn App(
    /// The server to listen to, or what was given instead of one.
    server: ServerAddress,
) -> impl IntoView {
    let player = PlayerHandle::new(server);
    provide_context(player);
    system::inform(player);
    view! {
        <header class="bar">
            <h1 class="brand">
                <svg class="brand-mark" viewBox="0 0 64 64" aria-hidden="true">
                    <path d="M14 32h36M14 20v24M32 12v40M50 20v24" />
                    <circle cx="14" cy="32" r="5.5" />
                    <circle cx="32" cy="32" r="5.5" />
                    <circle cx="50" cy="32" r="5.5" />
                </svg>
                {texts::BRAND}
            </h1>
            <Listeners />
        </header>
        <main class="stage">
            <Join />
            <Status />
            <div class="words">
                <Message />
                <NowPlaying />
            </div>
            <Volume />
            <SyncStatus />
        </main>
    }
}
