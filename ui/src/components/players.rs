//! Who listens, how loud and how well in step, for the host.

use leptos::prelude::*;
use player_wasm::player::{PartyCommand, PlayerInfo};

use super::Loudness;
use crate::language::{self, words};
use crate::messages::fill;
use crate::player_handle::PlayerHandle;
use crate::texts::{self, Quality};

/// A row for each player, in the server's order. Absent for whom the server does not tell.
#[component]
pub fn Players() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let players = Memo::new(move |_| player.party().players);
    let ids = move || {
        let ids = players.get().into_iter().flatten().map(|player| player.id);
        ids.collect::<Vec<String>>()
    };
    let count = move || {
        let count = players.with(|players| players.as_ref().map_or(0, Vec::len));
        fill(words().players_count, &[("count", &language::whole(count as f64))])
    };
    view! {
        <Show when=move || players.with(Option::is_some)>
            <section class="card" aria-labelledby="players" data-testid="players">
                <div class="card-head">
                    <h2 id="players">{words().players}</h2>
                    <span class="card-note">{count}</span>
                </div>
                <ul class="players">
                    // By id, so that a slider that is being dragged stays while the figures beside it change.
                    <For each=ids key=String::clone let:id>
                        <Row players id />
                    </For>
                </ul>
            </section>
        </Show>
    }
}

#[component]
fn Row(players: Memo<Option<Vec<PlayerInfo>>>, id: String) -> impl IntoView {
    let player = PlayerHandle::of_page();
    let own = id.clone();
    let info = Memo::new(move |_| {
        let found = players.with(|all| all.iter().flatten().find(|it| it.id == own).cloned());
        found.unwrap_or_default()
    });
    let name = move || info.with(|info| texts::foreign(&info.name));
    let quality = Memo::new(move |_| info.with(|info| texts::quality(info.sync.as_ref())));
    let (to_set, to_mute) = (id.clone(), id.clone());
    view! {
        <li class="player">
            <div class="player-head">
                <span class="player-name">{name}</span>
                <span
                    class="quality"
                    class:good=move || quality.get().0 == Quality::Good
                    class:poor=move || quality.get().0 == Quality::Poor
                >
                    {move || quality.get().1}
                </span>
            </div>
            <Loudness
                testid=format!("player-{id}")
                label=Signal::derive(move || texts::about(words().player_volume, &name()))
                mute_label=Signal::derive(move || texts::about(words().player_mute, &name()))
                volume=Signal::derive(move || info.with(|info| info.volume))
                muted=Signal::derive(move || info.with(|info| info.muted))
                on_volume=move |volume: u8| player.ask(PartyCommand::PlayerVolume { player: to_set.clone(), volume })
                on_mute=move |mute: bool| player.ask(PartyCommand::PlayerMute { player: to_mute.clone(), mute })
            />
        </li>
    }
}
