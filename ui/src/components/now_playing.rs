//! What is playing, and where it comes from.

use leptos::prelude::*;

use crate::language::words;
use crate::player_handle::{Pause, PlayerHandle};
use crate::texts;

/// Title, artist and server. Before anything plays: what this page is for.
#[component]
pub fn NowPlaying() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let title = Memo::new(move |_| player.now_playing().title);
    Effect::new(move |_| document().set_title(&texts::document_title(title.get().as_deref())));
    let headline = move || match player.pause() {
        Some(Pause::HostAway) => words().waiting_headline.to_owned(),
        Some(Pause::Over) => words().ended_headline.to_owned(),
        Some(Pause::ByHost) => title.get().unwrap_or_else(|| words().paused_headline.to_owned()),
        None if player.is_listening() => title.get().unwrap_or_default(),
        None => words().invitation.to_owned(),
    };
    let byline = move || match player.pause() {
        Some(Pause::HostAway) => words().waiting_advice.to_owned(),
        Some(Pause::Over) => words().ended_advice.to_owned(),
        Some(Pause::ByHost) if title.get().is_none() => words().paused_advice.to_owned(),
        _ => texts::byline(&player.now_playing()),
    };
    view! {
        <div class="now" hidden=move || player.trouble().is_some()>
            <p class="now-title" class:invitation=move || !player.is_listening() data-testid="title">
                {headline}
            </p>
            <p class="now-artist" class:advice=move || player.pause().is_some() data-testid="artist">
                {byline}
            </p>
            <p class="now-server" data-testid="server-name">
                {move || player.server_name().map(|name| texts::from_server(&name))}
            </p>
        </div>
    }
}
