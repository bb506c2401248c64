//! The party page.
//!
//! Holds no playback state of its own: [`player_handle`] turns the player's events into signals, everything on
//! screen is derived from those, and a click changes nothing but what the player then reports back.
//! Every word a person can read is in `messages`, once for each language.

pub mod app;
pub mod arrival;
pub mod artwork;
pub mod components;
mod crash;
pub mod history;
mod host_link;
pub mod identity;
mod install;
pub mod language;
pub mod listener_count;
mod messages;
pub mod output_device;
pub mod player_handle;
mod remembered;
pub mod server_address;
pub mod share;
mod system;
mod texts;

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use crate::app::App;
use crate::arrival::Arrival;
use crate::language::Language;
use crate::server_address::ServerAddress;

/// Puts the page where `index.html` shows its stand-in, as soon as the program is here.
///
/// Does nothing but log when the document has no `#app`: such a document is not ours.
pub fn start() {
    std::panic::set_hook(Box::new(crash::report));
    let Some(stand_in) = document().get_element_by_id("app") else {
        leptos::logging::error!("index.html has no element with the id `app`");
        return;
    };
    stand_in.set_inner_html("");
    Language::of_page().choose();
    let (server, arrival) = (ServerAddress::of_page(), Arrival::of_page());
    mount_to(stand_in.unchecked_into(), move || view! { <App server arrival /> }).forget();
    install::install();
}

#[cfg(test)]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
