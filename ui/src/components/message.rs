//! What went wrong, and what to do about it.

use leptos::prelude::*;

use crate::player_handle::PlayerHandle;
use crate::texts;

/// Shown while the page cannot play, in place of what is playing.
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
        </div>
    }
}
