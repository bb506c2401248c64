//! What a host sees beside what everybody sees: how loud all are, and who is here.

use leptos::prelude::*;
use player_wasm::player::ControllerCommand;

use super::{Loudness, Players};
use crate::language::words;
use crate::player_handle::PlayerHandle;

/// Volume of everyone and the list of players, for whom the party allows them.
#[component]
pub fn HostPanel() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let sets = move || player.has_server() && (player.may("volume") || player.may("mute"));
    let volume =
        move || player.controller().map(|state| state.volume).filter(|_| player.may("volume"));
    let muted = move || player.controller().map(|state| state.muted).filter(|_| player.may("mute"));
    view! {
        <Show when=sets>
            <section class="card" aria-labelledby="everyone">
                <h2 id="everyone">{words().everyone}</h2>
                <Loudness
                    testid="group-volume".to_owned()
                    label=words().everyone_volume.to_owned()
                    mute_label=words().everyone_mute.to_owned()
                    volume=Signal::derive(volume)
                    muted=Signal::derive(muted)
                    on_volume=move |volume: u8| player.control(ControllerCommand::Volume { volume })
                    on_mute=move |mute: bool| player.control(ControllerCommand::Mute { mute })
                />
            </section>
        </Show>
        <Players />
    }
}
