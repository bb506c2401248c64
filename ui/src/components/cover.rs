//! The picture of what is playing.

use leptos::prelude::*;
use web_sys::HtmlImageElement;

use crate::artwork;
use crate::player_handle::PlayerHandle;

/// The server's picture, or one drawn here; the page takes on its colour. Empty while nothing is known.
#[component]
pub fn Cover() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let url = Memo::new(move |_| {
        let told = player.now_playing().artwork_url?;
        artwork::address(&told, &player.server())
    });
    let name = Memo::new(move |_| {
        let track = player.now_playing();
        // A whole album has one picture, and so has its stand-in.
        track.album.or(track.title).or_else(|| player.server_name())
    });
    // A picture that could not be loaded.
    let (failed, set_failed) = signal(None::<String>);
    let shown = move || url.get().filter(|url| failed.get().as_ref() != Some(url));
    let drawn_hue = move || name.get().map(|name| artwork::hue_of_name(&name));
    Effect::new(move |_| {
        // A picture tells its colour when it is loaded.
        if shown().is_none() {
            artwork::tint(drawn_hue().filter(|_| player.has_server()));
        }
    });
    view! {
        <span class="cover" aria-hidden="true">
            {move || match shown() {
                Some(url) => {
                    let asked = url.clone();
                    view! {
                        <img
                            src=url
                            alt=""
                            data-testid="artwork"
                            on:load=move |load| {
                                artwork::tint(artwork::hue_of_picture(&event_target::<HtmlImageElement>(&load)));
                            }
                            on:error=move |_| set_failed.set(Some(asked.clone()))
                        />
                    }
                    .into_any()
                }
                None if player.has_server() => view! { <Drawn /> }.into_any(),
                None => ().into_any(),
            }}
        </span>
    }
}

/// Grooves and light, in the page's present colour.
#[component]
fn Drawn() -> impl IntoView {
    let grooves = (0..9).map(|i| view! { <circle cx="50" cy="50" r=format!("{}", 18 + i * 4) /> });
    view! {
        <svg class="drawn" viewBox="0 0 100 100" data-testid="drawn-artwork">
            {grooves.collect_view()}
            <path d="M50 50 22 4A54 54 0 0 1 50-4z" />
            <path d="m50 50 28 46a54 54 0 0 1-28 8z" />
        </svg>
    }
}
