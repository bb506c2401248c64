//! Which language the page speaks, and how that language writes numbers and lengths of time.

use std::cell::{Cell, OnceCell};

use js_sys::Intl::NumberFormat;
use js_sys::{Array, Function, Object, Reflect};
use leptos::prelude::{document, window};
use wasm_bindgen::JsValue;
use web_sys::UrlSearchParams;

use crate::messages::{ENGLISH, GERMAN, Messages};

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// What a browser gets whose languages the page does not speak.
    #[default]
    English,
    /// German.
    German,
}

thread_local! {
    static CHOSEN: Cell<Language> = const { Cell::new(Language::English) };
    static FORMATS: OnceCell<[Formats; 2]> = const { OnceCell::new() };
}

impl Language {
    /// The one that `?lang=` of the page's address names; without it, the first of the browser's that the page speaks.
    #[must_use]
    pub fn of_page() -> Self {
        let search = window().location().search().unwrap_or_default();
        let named = UrlSearchParams::new_with_str(&search).ok().and_then(|query| query.get("lang"));
        let of_browser = window().navigator().languages();
        let of_browser = of_browser.iter().filter_map(|tag| tag.as_string());
        named.into_iter().chain(of_browser).find_map(|tag| Self::of_tag(&tag)).unwrap_or_default()
    }

    /// The one that a language tag such as `de-AT` means, if the page speaks it.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        let is = |known: Self| language.eq_ignore_ascii_case(known.tag());
        [Self::English, Self::German].into_iter().find(|known| is(*known))
    }

    /// Its tag, for `<html lang>`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Lets the page speak it. To be called before the page is mounted: what is on screen does not change.
    pub fn choose(self) {
        CHOSEN.set(self);
        if let Some(root) = document().document_element() {
            // Fails only for an invalid attribute name.
            drop(root.set_attribute("lang", self.tag()));
        }
    }
}

/// The words of the chosen language.
pub(crate) fn words() -> &'static Messages {
    match CHOSEN.get() {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
    }
}

/// How a language writes figures. Made once: making one costs more than using it a thousand times.
struct Formats {
    whole: Function,
    signed: Function,
    tenth: Function,
    signed_tenth: Function,
    minutes: Function,
    seconds: Function,
}

impl Formats {
    fn of(language: Language) -> Self {
        let unit = |unit: &'static str| {
            [("style", "unit".into()), ("unit", unit.into()), ("unitDisplay", "long".into())]
        };
        let make = |options: &[(&str, JsValue)]| {
            let fields = Object::new();
            for (name, value) in options {
                // Throws only for what is no object.
                let _ = Reflect::set(&fields, &(*name).into(), value);
            }
            NumberFormat::new(&Array::of1(&language.tag().into()), &fields).format()
        };
        let sign = ("signDisplay", JsValue::from("exceptZero"));
        let whole = ("maximumFractionDigits", JsValue::from(0));
        let tenth = [("minimumFractionDigits", 1.into()), ("maximumFractionDigits", 1.into())];
        let [least, most] = tenth.clone();
        Self {
            whole: make(std::slice::from_ref(&whole)),
            signed: make(&[whole, sign.clone()]),
            tenth: make(&tenth),
            signed_tenth: make(&[least, most, sign]),
            minutes: make(&unit("minute")),
            seconds: make(&unit("second")),
        }
    }
}

fn format(which: fn(&Formats) -> &Function, value: f64) -> String {
    FORMATS.with(|formats| {
        let formats =
            formats.get_or_init(|| [Language::English, Language::German].map(Formats::of));
        let format = which(&formats[CHOSEN.get() as usize]);
        let text = format.call1(&JsValue::UNDEFINED, &value.into()).ok();
        // A real minus sign, as wide as the plus.
        text.and_then(|text| text.as_string()).unwrap_or_default().replace('-', "−")
    })
}

/// `4,820`.
pub(crate) fn whole(value: f64) -> String {
    format(|formats| &formats.whole, value)
}

/// `+120`; zero has no sign.
pub(crate) fn signed(value: f64) -> String {
    format(|formats| &formats.signed, value)
}

/// `1.4`.
pub(crate) fn tenth(value: f64) -> String {
    format(|formats| &formats.tenth, value)
}

/// `+12.3`.
pub(crate) fn signed_tenth(value: f64) -> String {
    format(|formats| &formats.signed_tenth, value)
}

/// `3:07`, as players write it everywhere; `1:02:03` from an hour on.
pub(crate) fn clock(ms: u64) -> String {
    let s = ms / 1_000;
    let (hours, minutes, seconds) = (s / 3_600, s / 60 % 60, s % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// `3 minutes 7 seconds`, for who hears it read out.
pub(crate) fn spoken(ms: u64) -> String {
    let s = ms / 1_000;
    let seconds = format(|formats| &formats.seconds, (s % 60) as f64);
    if s < 60 {
        return seconds;
    }
    let minutes = format(|formats| &formats.minutes, (s / 60) as f64);
    format!("{minutes} {seconds}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn tags_of_a_language_mean_it() {
        assert_eq!(Language::of_tag("de-AT"), Some(Language::German));
        assert_eq!(Language::of_tag("EN"), Some(Language::English));
        assert_eq!(Language::of_tag("den"), None);
        assert_eq!(Language::of_tag(""), None);
    }

    #[wasm_bindgen_test]
    fn numbers_and_times_are_written_as_the_language_writes_them() {
        assert_eq!((whole(4_820.4), tenth(1.96)), ("4,820".to_owned(), "2.0".to_owned()));
        assert_eq!((signed(119.6), signed(-119.6)), ("+120".to_owned(), "−120".to_owned()));
        assert_eq!((signed(0.2), signed_tenth(-0.26)), ("0".to_owned(), "−0.3".to_owned()));
        assert_eq!(spoken(61_000), "1 minute 1 second");
        Language::German.choose();
        assert_eq!((whole(4_820.4), tenth(1.96)), ("4.820".to_owned(), "2,0".to_owned()));
        assert_eq!(spoken(187_000), "3 Minuten 7 Sekunden");
        Language::English.choose();
        assert_eq!((clock(187_900), clock(3_723_000)), ("3:07".to_owned(), "1:02:03".to_owned()));
    }
}
