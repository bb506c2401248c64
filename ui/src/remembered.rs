//! What the page remembers from visit to visit: its name, volume, mute, the delay of each output, the ids its players go by,
//! and the keys of the parties it hosts.
//!
//! Storage may be missing, full or forbidden (private windows, blocked site data). Nothing here fails then: the
//! page starts with its defaults and forgets.

use leptos::prelude::window;
use web_sys::Storage;

/// Loudness of a first visit: clearly audible, and not the loudest a device can do.
const FIRST_VOLUME: u8 = 80;

const CLIENT_ID: &str = "partyline.client_id";
const VOLUME: &str = "partyline.volume";
const MUTED: &str = "partyline.muted";
const OUTPUT: &str = "partyline.output";
const HOST_KEY: &str = "partyline.host_key";
const NAME: &str = "partyline.name";
const DELAY: &str = "partyline.delay_ms";

/// Perceived loudness of the last visit, 0 to 100.
pub(crate) fn volume() -> u8 {
    read(VOLUME)
        .and_then(|text| text.parse().ok())
        .filter(|volume| *volume <= 100)
        .unwrap_or(FIRST_VOLUME)
}

/// Keeps the loudness for the next visit.
pub(crate) fn set_volume(volume: u8) {
    write(VOLUME, &volume.to_string());
}

/// Whether the last visit ended muted.
pub(crate) fn muted() -> bool {
    read(MUTED).as_deref() == Some("true")
}

/// Keeps the mute switch for the next visit.
pub(crate) fn set_muted(muted: bool) {
    write(MUTED, if muted { "true" } else { "false" });
}

/// The output of the last visit.
pub(crate) fn output() -> Option<String> {
    read(OUTPUT)
}

/// Keeps the output for the next visit.
pub(crate) fn set_output(output: &str) {
    write(OUTPUT, output);
}

/// The delay trim of an output, milliseconds.
pub(crate) fn delay_ms(output: &str) -> i16 {
    known_delay_ms(output).unwrap_or(0)
}

/// The same, if the output was ever given one.
pub(crate) fn known_delay_ms(output: &str) -> Option<i16> {
    read(&format!("{DELAY}.{output}"))?.parse().ok()
}

/// Keeps the delay trim of an output for the next time that it is used.
pub(crate) fn set_delay_ms(output: &str, ms: i16) {
    write(&format!("{DELAY}.{output}"), &ms.to_string());
}

/// What the person calls this player, if anything.
pub(crate) fn name() -> Option<String> {
    read(NAME).filter(|name| !name.is_empty())
}

/// Keeps the player's name for the next visit; an empty one is none.
pub(crate) fn set_name(name: &str) {
    write(NAME, name);
}

/// The id at `place` in the row of those that this browser's pages join parties with.
pub(crate) fn client_id(place: u32) -> Option<String> {
    read(&format!("{CLIENT_ID}.{place}"))
}

/// Keeps an id for the next visit.
pub(crate) fn set_client_id(place: u32, id: &str) {
    write(&format!("{CLIENT_ID}.{place}"), id);
}

/// The key of the party at `host`, if this is its host's browser.
pub(crate) fn host_key(host: &str) -> Option<String> {
    let name = format!("{HOST_KEY}.{host}");
    let of_session = session().and_then(|session| session.get_item(&name).ok().flatten());
    of_session.or_else(|| read(&name))
}

/// Keeps or forgets the key of the party at `host`. For the session as well: private windows may keep nothing longer.
pub(crate) fn set_host_key(host: &str, key: Option<&str>) {
    let name = format!("{HOST_KEY}.{host}");
    for storage in [session(), storage()].into_iter().flatten() {
        // As for `write`.
        drop(match key {
            Some(key) => storage.set_item(&name, key),
            None => storage.remove_item(&name),
        });
    }
}

fn session() -> Option<Storage> {
    window().session_storage().ok().flatten()
}

fn storage() -> Option<Storage> {
    window().local_storage().ok().flatten()
}

fn read(key: &str) -> Option<String> {
    storage()?.get_item(key).ok().flatten()
}

fn write(key: &str, value: &str) {
    // Full or forbidden storage: the page forgets, as the module promises.
    storage().map(|storage| storage.set_item(key, value).ok());
}
