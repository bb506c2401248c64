//! What is played after the present track.

use leptos::prelude::*;
use player_wasm::player::{PartyCommand, QueueEntry, Rights};

use crate::language::{clock, words};
use crate::player_handle::PlayerHandle;
use crate::texts;

/// Entries that a guest sees: what comes, not what is somewhere in the list.
const GUEST_ENTRIES: usize = 3;

/// The list. Who may change what is heard plays an entry with a click.
#[component]
pub fn NextUp() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let chooses = Memo::new(move |_| player.has_rights(Rights::All));
    let entries = Memo::new(move |_| {
        let mut entries = player.party().next_up;
        if !chooses.get() {
            entries.truncate(GUEST_ENTRIES);
        }
        entries
    });
    view! {
        <Show when=move || player.is_listening() && !entries.with(Vec::is_empty)>
            <section class="card" aria-labelledby="next-up" data-testid="next-up">
                <h2 id="next-up">{words().next_up}</h2>
                <ol class="queue">
                    {move || entries.get().iter().map(|entry| row(player, entry, chooses.get())).collect_view()}
                </ol>
            </section>
        </Show>
    }
}

fn row(player: PlayerHandle, entry: &QueueEntry, chooses: bool) -> impl IntoView + use<> {
    let title = texts::foreign(&entry.title);
    let artist = entry.artist.as_deref().map(texts::foreign);
    let inside = view! {
        <span class="queue-words">
            <span class="queue-title">
                {chooses.then(|| view! { <span class="spoken">{words().queue_play} " "</span> })}
                {title}
            </span>
            {artist.map(|artist| view! { <span class="queue-artist">{artist}</span> })}
        </span>
        <span class="queue-time">{entry.duration_ms.map(clock)}</span>
    };
    let id = entry.id;
    let play = move |_| player.ask(PartyCommand::PlayEntry { entry: id });
    let inside = if chooses {
        view! {
            <button type="button" class="queue-entry" data-testid=format!("entry-{}", entry.id) on:click=play>
                {inside}
            </button>
        }
        .into_any()
    } else {
        view! { <span class="queue-entry">{inside}</span> }.into_any()
    };
    view! { <li>{inside}</li> }
}
