//! What happens when the page itself breaks.
//!
//! After a panic nothing here runs again (`panic = "abort"`), so a person would press dead buttons. The hook
//! says so on the page; the details are in the browser's console.

use std::panic::PanicHookInfo;

use leptos::prelude::document;
use player_wasm::stats::State;

use crate::language::words;
use crate::player_handle::mirror_state;

/// The panic hook. Must not panic: every failure in here is ignored, the console has the message by then.
pub(crate) fn report(panic: &PanicHookInfo<'_>) {
    console_error_panic_hook::hook(panic);
    mirror_state(State::Error);
    let document = document();
    let (Ok(notice), Some(body)) = (document.create_element("p"), document.body()) else {
        return;
    };
    notice.set_text_content(Some(words().crashed));
    for (name, value) in [("class", "crash"), ("role", "alert"), ("data-testid", "crash")] {
        drop(notice.set_attribute(name, value));
    }
    drop(body.prepend_with_node_1(&notice));
}
