//! The sound around the button: bars that rise from its edge with what is heard at that moment.
//!
//! Drawn from the page's own output, so that it is as much in step as the sound. Not for who wants less motion, not on a
//! hidden page, and ten times in a second: a party lasts longer than a battery, and it is the frames of a page that
//! cost, not what is drawn in them.

use std::f64::consts::PI;

use gloo_timers::callback::Interval;
use js_sys::{Object, Reflect};
use leptos::html::Canvas;
use leptos::prelude::*;
use player_wasm::stats::State;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, MediaQueryList, MediaQueryListEvent};

use crate::player_handle::PlayerHandle;

/// Width and height of the drawing, pixels.
const SIDE: u32 = 240;
/// Bars on each half of the circle.
const BARS: usize = 24;
/// Bands that are looked at: up to 12 kHz.
const BANDS: usize = 256;
/// Time between two pictures, milliseconds.
const PICTURE_MS: u32 = 100;
/// Pictures between two looks at the page's colour.
const COLOUR_EVERY: u32 = 10;

/// The canvas, and while something plays the loop that draws on it.
#[component]
pub fn Visualizer() -> impl IntoView {
    let player = PlayerHandle::of_page();
    let canvas = NodeRef::<Canvas>::new();
    let (drawn, set_drawn) = signal(false);
    let still = less_motion();
    // The value of the effect's last run is dropped by the next, and with it the timer.
    Effect::new(move |_: Option<Option<Interval>>| {
        let wanted = player.state() == State::Playing && !still.get();
        let picture = canvas.get().filter(|_| wanted).and_then(|canvas| Picture::on(&canvas));
        set_drawn.set(false);
        picture.map(|mut picture| {
            Interval::new(PICTURE_MS, move || {
                if !document().hidden() {
                    let is_drawn = picture.draw(player);
                    if drawn.try_get_untracked().is_some_and(|drawn| drawn != is_drawn) {
                        set_drawn.set(is_drawn);
                    }
                }
            })
        })
    });
    view! {
        <canvas
            class="visualizer"
            class:drawn-live=drawn
            width=SIDE.to_string()
            height=SIDE.to_string()
            aria-hidden="true"
            hidden=move || !drawn.get()
            node_ref=canvas
        ></canvas>
    }
}

/// Whether the person wants less motion, now and whenever that changes.
fn less_motion() -> Signal<bool> {
    let asked = window().match_media("(prefers-reduced-motion: reduce)").ok().flatten();
    let (still, set_still) = signal(asked.as_ref().is_some_and(MediaQueryList::matches));
    if let Some(asked) = asked {
        let changed = move |event: MediaQueryListEvent| {
            set_still.try_set(event.matches());
        };
        let changed = Closure::<dyn FnMut(MediaQueryListEvent)>::new(changed);
        asked.set_onchange(Some(changed.as_ref().unchecked_ref()));
        // As long as the page has its picture: it may be asked for again after years.
        StoredValue::new_local((asked, changed));
    }
    still.into()
}

struct Picture {
    canvas: HtmlCanvasElement,
    context: CanvasRenderingContext2d,
    bands: Box<[u8; BANDS]>,
    /// Heights as they are shown, 0.0 to 1.0: up at once, down slowly.
    heights: [f64; BARS],
    count: u32,
}

impl Picture {
    fn on(canvas: &HtmlCanvasElement) -> Option<Self> {
        let context = canvas.get_context_with_context_options("2d", &options()?.into()).ok()??;
        let context = context.dyn_into().ok()?;
        let canvas = canvas.clone();
        let bands = Box::new([0; BANDS]);
        Some(Self { canvas, context, bands, heights: [0.0; BARS], count: 0 })
    }

    /// Whether there was something to draw.
    fn draw(&mut self, player: PlayerHandle) -> bool {
        if !player.loudness(&mut self.bands[..]) {
            return false;
        }
        if self.count.is_multiple_of(COLOUR_EVERY)
            && let Ok(Some(style)) = window().get_computed_style(&self.canvas)
        {
            self.context
                .set_stroke_style_str(&style.get_property_value("color").unwrap_or_default());
            self.context.set_line_width(3.5);
        }
        self.count = self.count.wrapping_add(1);
        let (side, middle) = (f64::from(SIDE), f64::from(SIDE) / 2.0);
        // The button's edge, and room for the highest bar.
        let (edge, room) = (middle * 0.855, middle * 0.125);
        self.context.clear_rect(0.0, 0.0, side, side);
        self.context.begin_path();
        for (bar, height) in self.heights.iter_mut().enumerate() {
            *height = (f64::from(loudest(&self.bands, bar)) / 255.0).powi(2).max(*height * 0.7);
            let angle = PI * (bar as f64 + 0.5) / BARS as f64;
            let (sin, cos) = angle.sin_cos();
            let far = edge + room * *height;
            for side in [-1.0, 1.0] {
                // Low at the bottom, high at the top, alike on both sides.
                self.context.move_to(middle + side * sin * edge, middle + cos * edge);
                self.context.line_to(middle + side * sin * far, middle + cos * far);
            }
        }
        self.context.stroke();
        true
    }
}

/// Pictures that do not wait for the rest of the page, which then makes no frame for each of them: that is more than half of
/// what they cost.
fn options() -> Option<Object> {
    let options = Object::new();
    Reflect::set(&options, &"desynchronized".into(), &true.into()).ok()?;
    Some(options)
}

/// How loud a bar's bands are: each bar spans the same interval of tones.
fn loudest(bands: &[u8; BANDS], bar: usize) -> u8 {
    let from = first_band(bar);
    let to = first_band(bar + 1).max(from + 1).min(BANDS);
    bands[from.min(BANDS - 1)..to].iter().copied().max().unwrap_or_default()
}

fn first_band(bar: usize) -> usize {
    (BANDS as f64).powf(bar as f64 / BARS as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn low_bars_are_low_tones_and_none_is_left_out() {
        let mut bands = [0; BANDS];
        bands[1] = 200;
        assert_eq!((loudest(&bands, 0), loudest(&bands, BARS - 1)), (200, 0));
        bands[BANDS - 1] = 90;
        assert_eq!(loudest(&bands, BARS - 1), 90);
    }
}
