//! The picture of what is playing: where it is, which colour it has, and one to show where there is none.

use leptos::prelude::document;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, HtmlElement, HtmlImageElement, Url};

use crate::server_address::ServerAddress;

/// Width and height of the copy whose pixels are looked at.
const SAMPLE: u32 = 24;
/// Sections of the colour wheel that pixels are sorted into.
const SECTIONS: usize = 12;

/// Where the page loads the picture from that a server tells of.
///
/// A server's own picture, whose path ends with `/artwork/ID.jpg`, is loaded beside the server's other paths: the server
/// does not know under which address a proxy shows it.
#[must_use]
pub fn address(told: &str, server: &ServerAddress) -> Option<String> {
    let url =
        Url::new(told).ok().filter(|url| ["http:", "https:"].contains(&url.protocol().as_str()))?;
    let path = url.pathname();
    let own = path.rsplit_once("/artwork/").map(|(_, file)| file);
    match own.filter(|file| file.strip_suffix(".jpg").is_some_and(|id| !id.contains('/'))) {
        Some(file) => server.beside(&format!("artwork/{file}")),
        None => Some(url.href()),
    }
}

/// A colour of the wheel, degrees, for something without a picture: the same for the same name.
#[must_use]
pub fn hue_of_name(name: &str) -> u32 {
    // FNV-1a, 32 bits: spreads names that differ in a letter.
    let hash = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % 360
}

/// The colour that stands out of a picture, degrees; `None` for a picture that has none, or may not be looked at.
pub(crate) fn hue_of_picture(picture: &HtmlImageElement) -> Option<u32> {
    let canvas = document().create_element("canvas").ok()?.dyn_into::<HtmlCanvasElement>().ok()?;
    canvas.set_width(SAMPLE);
    canvas.set_height(SAMPLE);
    let context = canvas.get_context("2d").ok()??.dyn_into::<CanvasRenderingContext2d>().ok()?;
    let side = f64::from(SAMPLE);
    context.draw_image_with_html_image_element_and_dw_and_dh(picture, 0.0, 0.0, side, side).ok()?;
    // Refused for a picture of another site.
    let pixels = context.get_image_data(0.0, 0.0, side, side).ok()?.data();
    hue_of_pixels(&pixels)
}

/// The mean hue of the most colourful section of the wheel.
fn hue_of_pixels(rgba: &[u8]) -> Option<u32> {
    // For each section: how much colour there is, and its mean hue times that.
    let mut sections = [(0_u32, 0_u32); SECTIONS];
    let (pixels, _) = rgba.as_chunks::<4>();
    for [r, g, b, _] in pixels {
        let [r, g, b] = [r, g, b].map(|part| i32::from(*part));
        let (most, least) = (r.max(g).max(b), r.min(g).min(b));
        let colour = most - least;
        if colour < 24 {
            continue;
        }
        let sixth = if most == r {
            60 * (g - b) / colour
        } else if most == g {
            120 + 60 * (b - r) / colour
        } else {
            240 + 60 * (r - g) / colour
        };
        let (hue, weight) = (sixth.rem_euclid(360).unsigned_abs(), colour.unsigned_abs());
        let section = &mut sections[hue as usize * SECTIONS / 360];
        section.0 += weight;
        section.1 += weight * hue;
    }
    let (weight, sum) = sections.into_iter().max_by_key(|section| section.0)?;
    sum.checked_div(weight)
}

/// Lets the page take on a colour; `None` for its own. Only the hue: how light it is stays with the theme, so that
/// everything can be read on it.
pub(crate) fn tint(hue: Option<u32>) {
    let Some(root) = document().document_element().and_then(|it| it.dyn_into::<HtmlElement>().ok())
    else {
        return;
    };
    let style = root.style();
    // Fail only for invalid names.
    drop(match hue {
        Some(hue) => style.set_property("--hue", &hue.to_string()),
        None => style.remove_property("--hue").map(drop),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn the_servers_own_picture_is_loaded_beside_its_other_paths() {
        let server = ServerAddress::parse("wss://elsewhere.test/party/sendspin");
        let own = address("http://192.168.1.2:8927/artwork/ab12.jpg", &server);
        assert_eq!(own.as_deref(), Some("https://elsewhere.test/party/artwork/ab12.jpg"));
        let foreign = address("https://pictures.test/a.png", &server);
        assert_eq!(foreign.as_deref(), Some("https://pictures.test/a.png"));
        assert_eq!(address("javascript:alert(1)", &server), None);
        assert_eq!(address("artwork/x.jpg", &server), None);
    }

    #[wasm_bindgen_test]
    fn the_colour_that_stands_out_is_found() {
        let grey = [128, 128, 128, 255].repeat(500);
        assert_eq!(hue_of_pixels(&grey), None);
        let with_blue = [grey.clone(), [10, 20, 250, 255].repeat(20)].concat();
        assert!((230..250).contains(&hue_of_pixels(&with_blue).unwrap()));
        let with_red = [with_blue, [250, 10, 10, 255].repeat(50)].concat();
        assert_eq!(hue_of_pixels(&with_red), Some(0));
    }

    #[wasm_bindgen_test]
    fn a_name_has_always_the_same_colour() {
        assert_eq!(hue_of_name("Night"), hue_of_name("Night"));
        assert_ne!(hue_of_name("Night"), hue_of_name("Light"));
    }
}
