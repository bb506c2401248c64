//! How many are listening.

use leptos::prelude::*;
use player_wasm::stats::State;

use crate::listener_count::{Poll, Status};
use crate::player_handle::PlayerHandle;
use crate::texts;

/// The count, as the server tells it while this page listens. Empty before the first answer and after Stop.
#[component]
pub fn Listeners() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let (status, set_status) = signal(None::<Status>);
    let polling = Memo::new(move |_| player.has_server() || player.state() == State::Reconnecting);
    let pausing = Memo::new(move |_| player.has_ended());
    // The value of the effect's last run is dropped by the next, and with it the polling.
    Effect::new(move |_: Option<Option<Poll>>| {
        // Asked at once when the music ends: the server may know that it goes on.
        pausing.track();
        let url = player.server().status_url().filter(|_| polling.get());
        if url.is_none() {
            set_status.set(None);
        }
        url.map(|url| Poll::start(url, set_status))
    });
    Effect::new(move |_| player.set_waiting(status.get().is_some_and(|status| status.waiting)));
    let count = move || status.get().map(|status| status.total_clients);
    view! {
        <Show when=move || count().is_some()>
            <p class="listeners" data-testid="listeners">
                <span class="listeners-dot" aria-hidden="true"></span>
                {move || count().map(texts::listeners)}
            </p>
        </Show>
    }
}
