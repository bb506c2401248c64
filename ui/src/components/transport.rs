//! What a host does with the party: pause, go on, skip, mix.

use leptos::prelude::*;
use player_wasm::player::{ControllerCommand, Repeat};

use super::Icon;
use crate::language::words;
use crate::player_handle::PlayerHandle;
use crate::texts;

/// Commands that have a button here.
const COMMANDS: [&str; 8] =
    ["previous", "next", "play", "pause", "shuffle", "unshuffle", "repeat_all", "repeat_one"];
/// What can be repeated, in the order in which a button goes through it.
const ORDER: [(Repeat, &str, ControllerCommand); 3] = [
    (Repeat::Off, "repeat_off", ControllerCommand::RepeatOff),
    (Repeat::All, "repeat_all", ControllerCommand::RepeatAll),
    (Repeat::One, "repeat_one", ControllerCommand::RepeatOne),
];

/// A button for each command that the party obeys from this page; nothing where it obeys none.
#[component]
pub fn Transport() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let any =
        move || player.has_server() && COMMANDS.into_iter().any(|command| player.may(command));
    view! {
        <Show when=any>
            <div class="transport" role="group" aria-label=words().transport>
                <Shuffle />
                <Skip command="previous" label=words().previous asks=ControllerCommand::Previous />
                <PlayPause />
                <Skip command="next" label=words().next asks=ControllerCommand::Next />
                <RepeatWhat />
            </div>
        </Show>
    }
}

#[component]
fn PlayPause() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let plays = move || !player.has_ended();
    view! {
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
    }
}

/// To the next track or the previous one. The command's name is the sign's as well.
#[component]
fn Skip(command: &'static str, label: &'static str, asks: ControllerCommand) -> impl IntoView {
    let player = PlayerHandle::of_page();
    view! {
        <button
            type="button"
            class="round"
            data-testid=command
            aria-label=label
            hidden=move || !player.may(command)
            on:click=move |_| player.control(asks)
        >
            <Icon name=command />
        </button>
    }
}

#[component]
fn Shuffle() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let shuffles = move || player.controller().and_then(|state| state.shuffle).unwrap_or_default();
    view! {
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
    }
}

/// Goes on to the next of [`ORDER`] that the party knows.
#[component]
fn RepeatWhat() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let repeat = move || player.controller().and_then(|state| state.repeat).unwrap_or(Repeat::Off);
    let next = move || {
        let at = ORDER.iter().position(|(what, ..)| *what == repeat()).unwrap_or_default();
        let mut others = ORDER.into_iter().cycle().skip(at + 1).take(ORDER.len() - 1);
        others.find(|(_, name, _)| player.may(name)).map(|(.., command)| command)
    };
    let sign = move || if repeat() == Repeat::One { "repeat-one" } else { "repeat" };
    view! {
        <button
            type="button"
            class="round"
            class:on=move || repeat() != Repeat::Off
            data-testid="repeat"
            aria-label=move || texts::repeat(repeat())
            hidden=move || next().is_none()
            on:click=move |_| {
                if let Some(command) = untrack(next) {
                    player.control(command);
                }
            }
        >
            <Icon name=Signal::derive(sign) />
        </button>
    }
}
