//! What went wrong, and what to do about it.

use leptos::prelude::*;

use crate::player_handle::PlayerHandle;
use crate::texts;

/// Shown while the page cannot play, in place of what is playing, and while the system holds the sound up.
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
                        <p class="message-what">{texts::INTERRUPTED}</p>
                        <button
                            type="button"
                            class="message-button"
                            data-testid="resume"
                            on:click=move |_| player.resume()
                        >
                            {texts::RESUME}
                        </button>
                    </div>
                })
            }}
        </div>
    }
}
