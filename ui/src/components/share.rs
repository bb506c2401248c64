//! Bringing others in: a code to point a camera at, and the link.

use leptos::html::Dialog;
use leptos::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::Icon;
use crate::language::words;
use crate::share;

/// A button, and the sheet that it opens. The sheet is the browser's own dialog: it keeps the focus and closes on Escape.
#[component]
pub fn Share() -> impl IntoView {
    let dialog = NodeRef::<Dialog>::new();
    let (address, set_address) = signal(String::new());
    let open = move |_| {
        set_address.set(share::address());
        if let Some(dialog) = dialog.get_untracked() {
            // Fails only for one that is open or not on the page.
            let _ = dialog.show_modal();
        }
    };
    let close = move |_| {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    };
    let code = move || {
        let address = Some(address.get()).filter(|address| !address.is_empty());
        address.and_then(|address| share::qr_code(&address)).map(|(side, path)| {
            view! {
                <svg class="qr" viewBox=format!("0 0 {side} {side}") role="img" aria-label=words().share_qr data-testid="qr">
                    <path d=path />
                </svg>
            }
        })
    };
    view! {
        <button
            type="button"
            class="round bar-button"
            data-testid="share"
            aria-label=words().share
            aria-haspopup="dialog"
            on:click=open
        >
            <Icon name="share" />
        </button>
        <dialog class="sheet" node_ref=dialog aria-labelledby="share-title">
            <div class="card-head">
                <h2 id="share-title">{words().share_title}</h2>
                <button type="button" class="round" data-testid="share-close" aria-label=words().close on:click=close>
                    <Icon name="close" />
                </button>
            </div>
            {code}
            <p class="sheet-address" data-testid="share-address">{address}</p>
            {move || share::is_here_only(&address.get()).then(|| view! {
                <p class="sheet-note">{words().share_here_only}</p>
            })}
            <Buttons address />
        </dialog>
    }
}

/// Ways to hand the link on, as far as the browser has them.
#[component]
fn Buttons(address: ReadSignal<String>) -> impl IntoView {
    // What lies on the clipboard.
    let (copied, set_copied) = signal(None::<String>);
    let copy = move |_| {
        let navigator = window().navigator();
        // Missing on plain http pages: there the address is there to be selected.
        let clipboard = js_sys::Reflect::get(&navigator, &"clipboard".into());
        if clipboard.is_ok_and(|clipboard| clipboard.is_object()) {
            let address = address.get_untracked();
            let written = navigator.clipboard().write_text(&address);
            spawn_local(async move {
                let is_written = JsFuture::from(written).await.is_ok();
                set_copied.try_set(is_written.then_some(address));
            });
        }
    };
    let has_clipboard = window().is_secure_context();
    view! {
        <div class="sheet-buttons">
            {has_clipboard.then(|| view! {
                <button type="button" class="copy" data-testid="share-copy" on:click=copy>
                    {move || if copied.get() == Some(address.get()) { words().copied } else { words().share_copy }}
                </button>
            })}
            {share::has_sheet().then(|| view! {
                <button
                    type="button"
                    class="copy"
                    data-testid="share-native"
                    on:click=move |_| share::open_sheet(words().brand, &address.get_untracked())
                >
                    {words().share_native}
                </button>
            })}
        </div>
    }
}
