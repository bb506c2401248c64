//! What went wrong, and what to do about it.

use leptos::prelude::*;

use crate::language::words;
use crate::player_handle::PlayerHandle;
use crate::texts;

/// Shown while the page cannot play, in place of what is playing, while the system holds the sound up, and when a host's
/// link turns out to be an old one.
#[component]
pub fn Message() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let notice =
        move || player.trouble().map(|trouble| texts::trouble(&trouble, &player.server().host()));
    view! {
        <div role="alert">
            {move || {
                notice().map(|notice| view! {
                    <div class="message" data-testid="error">
                        <p class="message-what">{notice.what}</p>
                        <p class="message-advice">{notice.advice}</p>
                    </div>
                })
            }}
            {move || {
                player.is_interrupted().then(|| view! {
                    <div class="message" data-testid="interrupted">
                        <p class="message-what">{words().interrupted}</p>
                        <button
                            type="button"
                            class="message-button"
                            data-testid="resume"
                            on:click=move |_| player.resume()
                        >
                            {words().resume}
                        </button>
                    </div>
                })
            }}
            {move || {
                (player.is_key_refused() && !player.is_interrupted()).then(|| view! {
                    <p class="message notice" data-testid="key-refused">{words().key_refused}</p>
                })
            }}
        </div>
    }
}
