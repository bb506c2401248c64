//! The page from top to bottom.

use leptos::prelude::*;
use player_wasm::player::Rights;

use crate::arrival::Arrival;
use crate::components::{
    HostPanel, Join, Listeners, Message, NextUp, NowPlaying, Progress, Share, Status, SyncStatus,
    Transport, Volume,
};
use crate::language::words;
use crate::player_handle::PlayerHandle;
use crate::server_address::ServerAddress;
use crate::system;

/// The whole page, with a player of its own that listens to `server`.
#[component]
pub fn App(
    /// The server to listen to, or what was given instead of one.
    server: ServerAddress,
    /// How the person came here.
    #[prop(default = Arrival::Plain)]
    arrival: Arrival,
) -> impl IntoView {
    let player = PlayerHandle::new(server);
    arrival.begin(player);
    view! { <Page player arrival /> }
}

/// The whole page, of a player that is there already.
///
/// The boxes stand in for those of `index.html`, at the same places.
#[component]
pub fn Page(
    /// Whose player it shows.
    player: PlayerHandle,
    /// How the person came here.
    #[prop(default = Arrival::Plain)]
    arrival: Arrival,
) -> impl IntoView {
    provide_context(player);
    provide_context(arrival);
    system::inform(player);
    let has_more = move || player.is_listening() && !player.party().next_up.is_empty();
    let has_side = move || has_more() || player.looks_after_others();
    view! {
        <header class="bar">
            <h1 class="brand">
                <svg class="brand-mark" viewBox="0 0 64 64" aria-hidden="true">
                    <path d="M14 32h36M14 20v24M32 12v40M50 20v24" />
                    <circle cx="14" cy="32" r="5.5" />
                    <circle cx="32" cy="32" r="5.5" />
                    <circle cx="50" cy="32" r="5.5" />
                </svg>
                <span class="brand-word">{words().brand}</span>
                <Show when=move || player.has_rights(Rights::Host)>
                    <span class="badge" data-testid="host">{words().host_badge}</span>
                </Show>
            </h1>
            <div class="bar-end">
                <Listeners />
                <Share />
            </div>
        </header>
        <main class="stage" class:wide=has_side class:kiosk=arrival == Arrival::Kiosk>
            <div class="front">
                <Join />
                <Status />
                <div class="words">
                    <Message />
                    <NowPlaying />
                </div>
                <Progress />
                <Transport />
                <Volume />
            </div>
            <div class="side" hidden=move || !has_side()>
                <HostPanel />
                <NextUp />
            </div>
            <SyncStatus />
        </main>
    }
}
