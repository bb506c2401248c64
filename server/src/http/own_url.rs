//! How a client calls this server: where it finds what it is told the address of.
//!
//! Only what the client itself sent, or a proxy before us, goes into it, and only to that client: who lies about it misleads
//! itself.

use axum::http::header::HOST;
use axum::http::header::ToStrError;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// What a reverse proxy says it was asked for, and below which path this server is.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Longest host with its port, and longest path, bytes: a name has 253 at most (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 260;
const PREFIX_BYTES_MAX: usize = 256;

/// How this server is reached when no proxy says otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Approach {
    /// Whether it encrypts by itself.
    pub(crate) is_secure: bool,
    /// The path that it is below, without a slash at the end.
    pub(crate) path: String,
}

/// What the address of everything here begins with for the sender of these headers, without a slash at the end. `None` when
/// they do not say, or say something else.
pub(crate) fn own_url(headers: &HeaderMap, usual: &Approach) -> Option<String> {
    let scheme = match first(headers, &FORWARDED_PROTO).ok()? {
        None if usual.is_secure => "https",
        None => "http",
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => "http",
        Some(_) => return None,
    };
    let host = match first(headers, &FORWARDED_HOST).ok()? {
        Some(host) => host,
        None => first(headers, &HOST).ok()??,
    };
    let prefix = first(headers, &FORWARDED_PREFIX).ok()?.unwrap_or(&usual.path);
    let prefix = prefix.trim_end_matches('/');
    (is_host(host) && is_path(prefix)).then(|| format!("{scheme}://{host}{prefix}"))
}

/// The first of the values of a header, which may be a list, if it is there.
///
/// # Errors
///
/// When it is no text.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ToStrError> {
    let text = headers.get(name).map(HeaderValue::to_str).transpose()?;
    Ok(text.and_then(|text| text.split(',').next()).map(str::trim))
}

fn is_host(host: &str) -> bool {
    let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(is_sane)
}

fn is_path(path: &str) -> bool {
    let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let is_plain = |part: &str| !["", ".", ".."].contains(&part);
    path.is_empty()
        || path.len() <= PREFIX_BYTES_MAX
            && path.bytes().all(is_sane)
            && path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(pairs: &[(&HeaderName, &'static str)]) -> Option<String> {
        let pairs =
            pairs.iter().map(|&(name, value)| (name.clone(), HeaderValue::from_static(value)));
        own_url(&pairs.collect(), &Approach::default())
    }

    #[test]
    fn without_a_proxy_it_is_below_the_path_and_as_secure_as_the_server_is() {
        let usual = Approach { is_secure: true, path: "/loft".to_owned() };
        let asked = |pairs: &[(HeaderName, &'static str)]| {
            let pairs =
                pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            own_url(&pairs.collect(), &usual)
        };
        let direct = [(HOST, "party.example")];
        assert_eq!(asked(&direct), Some("https://party.example/loft".to_owned()));
        let proxied = [(HOST, "a"), (FORWARDED_PROTO, "http"), (FORWARDED_PREFIX, "/")];
        assert_eq!(asked(&proxied), Some("http://a".to_owned()));
    }

    #[test]
    fn it_is_what_the_client_asked_for() {
        let here = Some("http://10.0.0.7:8927".to_owned());
        assert_eq!(url(&[(&HOST, "10.0.0.7:8927")]), here);
        assert_eq!(url(&[(&HOST, "[::1]:80")]), Some("http://[::1]:80".to_owned()));
        let proxied = [
            (&HOST, "127.0.0.1:8927"),
            (&FORWARDED_HOST, "party.example, proxy.internal"),
            (&FORWARDED_PROTO, "HTTPS"),
            (&FORWARDED_PREFIX, "/loft/"),
        ];
        assert_eq!(url(&proxied), Some("https://party.example/loft".to_owned()));
    }

    #[test]
    fn what_makes_no_address_makes_none() {
        assert_eq!(url(&[]), None);
        for host in ["", "a b", "user@host", "host/path", "h\"t", "x#y", "h?q"] {
            assert_eq!(url(&[(&HOST, host)]), None, "{host}");
        }
        for prefix in ["loft", "//evil.example", "/a/../b", "/a b", "/a?b", "/<script>", "/%2e"] {
            assert_eq!(url(&[(&HOST, "h"), (&FORWARDED_PREFIX, prefix)]), None, "{prefix}");
        }
        assert_eq!(url(&[(&HOST, "h"), (&FORWARDED_PROTO, "javascript")]), None);
    }
}
