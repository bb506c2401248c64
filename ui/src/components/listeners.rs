//! How many are listening.

use leptos::prelude::*;

use crate::listener_count::Poll;
use crate::player_handle::PlayerHandle;
use crate::texts;

/// The count, as the server tells it while this page listens. Empty before the first answer and after Stop.
#[component]
pub fn Listeners() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let (count, set_count) = signal(None::<u32>);
    let polling = Memo::new(move |_| player.has_server());
    // The value of the effect's last run is dropped by the next, and with it the polling.
    Effect::new(move |_: Option<Option<Poll>>| {
        set_count.set(None);
        let url = player.server().status_url().filter(|_| polling.get())?;
        Some(Poll::start(url, set_count))
    });
    view! {
        <Show when=move || count.get().is_some()>
            <p class="listeners" data-testid="listeners">
                <span class="listeners-dot" aria-hidden="true"></span>
                {move || count.get().map(texts::listeners)}
            </p>
        </Show>
    }
}
