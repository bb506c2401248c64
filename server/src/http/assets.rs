//! The page, as the build embedded it.
//!
//! A request's path is looked up in a table of names and never becomes a path of the file system.

use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// One embedded file.
#[derive(Debug)]
struct Asset {
    /// Path below `/`.
    path: &'static str,
    content_type: &'static str,
    /// Its name changes with its content.
    hashed: bool,
    /// Hash of the content, in hexadecimal.
    digest: &'static str,
    plain: &'static [u8],
    /// Compressed with Brotli, if that is smaller.
    br: Option<&'static [u8]>,
    /// Compressed with gzip, if that is smaller.
    gzip: Option<&'static [u8]>,
}

// `ASSETS: &[Asset]` and `CONTENT_SECURITY_POLICY: &str`, made by build.rs from `dist/`.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// For a name with a hash: it never means anything else.
pub(crate) const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

/// For a name that stays: ask every time, which costs a `304` and no body.
const CACHE_ASK: &str = "no-cache";

/// Answers a request for a file of the page.
pub(crate) async fn get(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    };
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [("allow", "GET, HEAD")]).into_response();
    }
    asset.respond(&headers)
}

impl Asset {
    fn respond(&self, request: &HeaderMap) -> Response {
        let (encoding, body) = self.choose(request);
        // Strong, so it differs between the encodings of one content (RFC 9110, 8.8.3.3).
        let etag = format!("\"{}-{}\"", self.digest, encoding.unwrap_or("plain"));
        let mut response = if asks_for(request, &etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let about = encoding.map(|encoding| [(CONTENT_ENCODING, encoding)]);
            ([(CONTENT_TYPE, self.content_type)], about, body).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        let cache = if self.hashed { CACHE_FOREVER } else { CACHE_ASK };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, etag);
        }
        response
    }

    /// The smallest body that the client understands, and its encoding.
    fn choose(&self, request: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let candidates = [("br", self.br), ("gzip", self.gzip)];
        candidates
            .into_iter()
            .find_map(|(name, body)| Some((Some(name), body.filter(|_| accepts(request, name))?)))
            .unwrap_or((None, self.plain))
    }
}

/// Whether `Accept-Encoding` names `coding` and does not give it a quality of zero (RFC 9110, 12.5.3).
fn accepts(request: &HeaderMap, coding: &str) -> bool {
    let listed = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|list| list.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let refused = parts.any(|part| {
            let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            quality.and_then(|quality| quality.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        });
        named && !refused
    })
}

/// Whether `If-None-Match` holds `etag`. The comparison is weak, as RFC 9110, 13.1.2 asks.
fn asks_for(request: &HeaderMap, etag: &str) -> bool {
    let listed = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    listed
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: Asset = Asset {
        path: "ui-0123456789abcdef.js",
        content_type: "text/javascript; charset=utf-8",
        hashed: true,
        digest: "0123",
        plain: b"plain",
        br: Some(b"br"),
        gzip: Some(b"gz"),
    };

    fn with(name: axum::http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_smallest_accepted_encoding_is_chosen() {
        for (accepted, chosen) in [
            ("gzip, deflate, br", Some("br")),
            ("GZIP", Some("gzip")),
            ("br;q=0, gzip;q=0.5", Some("gzip")),
            ("br; q=0.0", None),
            ("identity", None),
            ("brotli", None),
        ] {
            assert_eq!(ASSET.choose(&with(ACCEPT_ENCODING, accepted)).0, chosen, "{accepted}");
        }
        assert_eq!(ASSET.choose(&HeaderMap::new()), (None, &b"plain"[..]));
    }

    #[test]
    fn a_known_etag_gets_no_body() {
        let response = ASSET.respond(&with(IF_NONE_MATCH, "\"other\", W/\"0123-plain\""));
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], "\"0123-plain\"");
        let response = ASSET.respond(&with(IF_NONE_MATCH, "\"0123-br\""));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CACHE_CONTROL], CACHE_FOREVER);
    }

    #[test]
    fn there_is_always_a_page() {
        let index = ASSETS.iter().find(|asset| asset.path == "index.html").unwrap();
        assert!(!index.hashed);
        assert!(index.content_type.starts_with("text/html"));
        assert!(std::str::from_utf8(index.plain).unwrap().contains("<html"));
    }
}
