//! What is playing, and where it comes from.

use leptos::prelude::*;

use crate::player_handle::PlayerHandle;
use crate::texts;

/// Title, artist and server. Before anything plays: what this page is for.
#[component]
pub fn NowPlaying() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let title = Memo::new(move |_| player.now_playing().title);
    Effect::new(move |_| document().set_title(&texts::document_title(title.get().as_deref())));
    let headline = move || {
        if player.is_waiting() {
            texts::WAITING_HEADLINE.to_owned()
        } else if player.has_ended() {
            texts::ENDED_HEADLINE.to_owned()
        } else if player.is_listening() {
            title.get().unwrap_or_default()
        } else {
            texts::INVITATION.to_owned()
        }
    };
    let byline = move || {
        if player.is_waiting() {
            texts::WAITING_ADVICE.to_owned()
        } else if player.has_ended() {
            texts::ENDED_ADVICE.to_owned()
        } else {
            let track = player.now_playing();
            texts::byline(track.artist.as_deref(), track.album.as_deref())
        }
    };
    view! {
        <div class="now" hidden=move || player.trouble().is_some()>
            <p class="now-title" class:invitation=move || !player.is_listening() data-testid="title">
                {headline}
            </p>
            <p class="now-artist" data-testid="artist">{byline}</p>
            <p class="now-server" data-testid="server-name">
                {move || player.server_name().map(|name| texts::from_server(&name))}
            </p>
        </div>
    }
}
