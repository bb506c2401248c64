//! The page's signs, drawn on a field of 24 by 24.

use leptos::prelude::*;

/// A sign; what it means is said by the label of the button that it is on.
#[component]
pub fn Icon(
    /// Which one. An unknown one is empty.
    #[prop(into)]
    name: Signal<&'static str>,
) -> impl IntoView {
    view! {
        <svg class="icon" class:icon-speaker=move || name.get() == "speaker" viewBox="0 0 24 24" aria-hidden="true">
            {move || shapes(name.get())
                .iter()
                .map(|(class, path)| view! { <path class=*class d=*path /> })
                .collect_view()}
        </svg>
    }
}

/// Its paths, each with its class: `full` ones are filled, the others are lines.
fn shapes(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "speaker" => &[
            ("full", "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z"),
            ("waves", "M15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11"),
            ("cross", "m15.5 9.5 5 5m0-5-5 5"),
        ],
        "play" => &[("full", "M8 5.5v13l10.5-6.5z")],
        "pause" => &[("full", "M7 5.5h3.5v13H7zM13.5 5.5H17v13h-3.5z")],
        "previous" => &[("full", "M18 6v12l-9-6z"), ("line", "M6.5 6v12")],
        "next" => &[("full", "M6 6v12l9-6z"), ("line", "M17.5 6v12")],
        "shuffle" => &[(
            "line",
            "M3.5 7H7l9 10h4M3.5 17H7l2.6-2.9M13.4 9.9 16 7h4M17.5 4.5 20 7l-2.5 2.5M17.5 14.5 20 17l-2.5 2.5",
        )],
        "repeat" => &[(
            "line",
            "M5 11.5V10a3 3 0 0 1 3-3h11M16.5 4.5 19 7l-2.5 2.5M19 12.5v1.5a3 3 0 0 1-3 3H5M7.5 19.5 5 17l2.5-2.5",
        )],
        "repeat-one" => &[
            (
                "line",
                "M5 11.5V10a3 3 0 0 1 3-3h11M16.5 4.5 19 7l-2.5 2.5M19 12.5v1.5a3 3 0 0 1-3 3H5M7.5 19.5 5 17l2.5-2.5",
            ),
            ("line", "M11.2 10.8 12.4 10v4.2"),
        ],
        "share" => &[(
            "line",
            "M12 15V4M8.5 7.3 12 3.8l3.5 3.5M7.5 10.5H6a1.5 1.5 0 0 0-1.5 1.5v7A1.5 1.5 0 0 0 6 20.5h12a1.5 1.5 0 0 0 1.5-1.5v-7a1.5 1.5 0 0 0-1.5-1.5h-1.5",
        )],
        "close" => &[("line", "m6.5 6.5 11 11m0-11-11 11")],
        _ => &[],
    }
}
