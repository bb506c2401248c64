//! Whose pages may listen. A browser lets any page open a WebSocket to any server, and says which page it is.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};

/// Where a reverse proxy says which host it was asked for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The sites, besides this server itself, whose pages may listen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    allowed: Vec<String>,
}

impl Origins {
    /// As written by a person: `https://radio.example`, or `*` for all.
    pub(crate) fn new<'a>(allowed: impl IntoIterator<Item = &'a str>) -> Self {
        let as_browsers_do = |origin: &str| origin.trim_end_matches('/').to_ascii_lowercase();
        Self { allowed: allowed.into_iter().map(as_browsers_do).collect() }
    }

    /// Whether a request comes from a page that may. Programs that are no browsers name no page.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        // What is no text is no site's name.
        let Ok(origin) = origin.to_str().map(str::to_ascii_lowercase) else { return false };
        // Each of several proxies may have added what it was asked for.
        let mut hosts = [HOST, FORWARDED_HOST]
            .into_iter()
            .filter_map(|name| headers.get(name)?.to_str().ok())
            .flat_map(|hosts| hosts.split(',').map(str::trim));
        let site = origin.split_once("://").map(|(_, site)| site);
        hosts.any(|host| site.is_some_and(|site| site.eq_ignore_ascii_case(host)))
            || self.allowed.iter().any(|allowed| allowed == "*" || *allowed == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let value = |text| HeaderValue::from_static(text);
        pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    #[test]
    fn own_pages_and_programs_may_others_must_be_named() {
        let none = Origins::default();
        let named = Origins::new(["https://Radio.example/"]);
        let all = Origins::new(["*"]);
        let own = headers(&[(HOST, "party.test:8927"), (ORIGIN, "http://Party.test:8927")]);
        let other = headers(&[(HOST, "party.test:8927"), (ORIGIN, "https://radio.example")]);
        let other_port = headers(&[(HOST, "party.test:8927"), (ORIGIN, "http://party.test:80")]);
        let proxied = headers(&[
            (HOST, "127.0.0.1:8927"),
            (FORWARDED_HOST, "party.example"),
            (ORIGIN, "https://party.example"),
        ]);
        let proxied_twice = headers(&[
            (HOST, "127.0.0.1:8927"),
            (FORWARDED_HOST, "party.example, inner.example:8080"),
            (ORIGIN, "https://party.example"),
        ]);
        for (request, by) in [
            (&proxied_twice, [true, true, true]),
            (&HeaderMap::new(), [true, true, true]),
            (&own, [true, true, true]),
            (&proxied, [true, true, true]),
            (&other, [false, true, true]),
            (&other_port, [false, false, true]),
            (&headers(&[(HOST, "party.test"), (ORIGIN, "null")]), [false, false, true]),
        ] {
            assert_eq!(
                [&none, &named, &all].map(|origins| origins.allow(request)),
                by,
                "{request:?}"
            );
        }
    }
}
