//! What a host does with the party: pause, go on, skip, mix.

use leptos::prelude::*;
use player_wasm::player::{ControllerCommand, Repeat};

use super::Icon;
use crate::language::words;
use crate::player_handle::PlayerHandle;
use crate::texts;

/// A button for each command that the party obeys from this page; nothing where it obeys none.
#[component]
pub fn Transport() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let plays = move || !player.has_ended();
    let repeat = move || player.controller().and_then(|state| state.repeat).unwrap_or(Repeat::Off);
    let shuffles = move || player.controller().and_then(|state| state.shuffle).unwrap_or_default();
    let any = move || {
        let commands = [
            "previous",
            "next",
            "play",
            "pause",
            "shuffle",
            "unshuffle",
            "repeat_all",
            "repeat_one",
        ];
        player.has_server() && commands.into_iter().any(|command| player.may(command))
    };
    let next_repeat = move || {
        let order = [
            (Repeat::Off, "repeat_off", ControllerCommand::RepeatOff),
            (Repeat::All, "repeat_all", ControllerCommand::RepeatAll),
            (Repeat::One, "repeat_one", ControllerCommand::RepeatOne),
        ];
        let at = order.iter().position(|(it, ..)| *it == repeat()).unwrap_or_default();
        let others = order.into_iter().cycle().skip(at + 1).take(2);
        others.into_iter().find(|(_, name, _)| player.may(name)).map(|(.., command)| command)
    };
    view! {
        <Show when=any>
            <div class="transport" role="group" aria-label=words().transport>
                <button
                    type="button"
                    class="round"
                    data-testid="shuffle"
                    aria-label=words().shuffle
                    aria-pressed=move || if shuffles() { "true" } else { "false" }
                    hidden=move || !(player.may("shuffle") || player.may("unshuffle"))
                    on:click=move |_| player.control(if untrack(shuffles) {
                        ControllerCommand::Unshuffle
                    } else {
                        ControllerCommand::Shuffle
                    })
                >
                    <Icon name="shuffle" />
                </button>
                <button
                    type="button"
                    class="round"
                    data-testid="previous"
                    aria-label=words().previous
                    hidden=move || !player.may("previous")
                    on:click=move |_| player.control(ControllerCommand::Previous)
                >
                    <Icon name="previous" />
                </button>
                <button
                    type="button"
                    class="round main"
                    data-testid="play-pause"
                    aria-label=move || if plays() { words().pause } else { words().play }
                    hidden=move || !player.may(if plays() { "pause" } else { "play" })
                    on:click=move |_| player.control(if untrack(plays) {
                        ControllerCommand::Pause
                    } else {
                        ControllerCommand::Play
                    })
                >
                    <Icon name=Signal::derive(move || if plays() { "pause" } else { "play" }) />
                </button>
                <button
                    type="button"
                    class="round"
                    data-testid="next"
                    aria-label=words().next
                    hidden=move || !player.may("next")
                    on:click=move |_| player.control(ControllerCommand::Next)
                >
                    <Icon name="next" />
                </button>
                <button
                    type="button"
                    class="round"
                    class:on=move || repeat() != Repeat::Off
                    data-testid="repeat"
                    aria-label=move || texts::repeat(repeat())
                    hidden=move || next_repeat().is_none()
                    on:click=move |_| {
                        if let Some(command) = untrack(next_repeat) {
                            player.control(command);
                        }
                    }
                >
                    <Icon name=Signal::derive(move || {
                        if repeat() == Repeat::One { "repeat-one" } else { "repeat" }
                    }) />
                </button>
            </div>
        </Show>
    }
}
