//! Who may speak to the node: what stands in the head of a request, before anything of its body is read.
//!
//! A web page that a browser loaded from elsewhere can point a name of its own at 127.0.0.1, but it cannot change the Host;
//! and it can open a WebSocket to anywhere, but it cannot change the Origin. Addresses instead of names pass, as they do at
//! go-ethereum: no page has an address for its name. Where the node listens to more than its own machine, every request
//! carries a token.

use std::net::IpAddr;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The rules of one node.
pub(crate) struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
    token: Option<Zeroizing<String>>,
}

/// Why a request is refused: the status, and the words for its body.
pub(crate) type Refusal = (StatusCode, &'static str);

impl Guard {
    /// These names for the machine, pages from these origins, and this token, if any.
    pub(crate) fn new(
        hosts: &[String],
        origins: &[String],
        token: Option<Zeroizing<String>>,
    ) -> Self {
        let lower = |list: &[String]| list.iter().map(|one| one.to_lowercase()).collect();
        Self {
            hosts: lower(hosts),
            origins: lower(origins),
            token,
        }
    }

    /// A request over HTTP.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.knows_host(headers) {
            return Err((StatusCode::FORBIDDEN, "invalid host specified\n"));
        }
        if !self.knows_token(headers) {
            return Err((
                StatusCode::UNAUTHORIZED,
                "send the token of this node: Authorization: Bearer <token>\n",
            ));
        }
        Ok(())
    }

    /// A request to open a WebSocket.
    pub(crate) fn check_upgrade(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.check(headers)?;
        let Some(origin) = headers.get(ORIGIN) else {
            // No browser leaves it out.
            return Ok(());
        };
        let origin = origin.to_str().unwrap_or_default().to_lowercase();
        if self.origins.iter().any(|one| one == "*" || *one == origin) {
            return Ok(());
        }
        Err((
            StatusCode::FORBIDDEN,
            "websocket: request origin not allowed\n",
        ))
    }

    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST) else {
            return true;
        };
        let Ok(host) = host.to_str() else {
            return false;
        };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.is_empty()
            || bare.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|known| known == "*" || known == name)
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        // The time that this takes tells the length of the token and nothing else.
        given.is_some_and(|given| bool::from(given.ct_eq(token.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(HeaderName, &str)| {
            (name.clone(), HeaderValue::from_str(value).unwrap())
        };
        list.iter().map(pair).collect()
    }

    fn guard(token: Option<&str>) -> Guard {
        let token = token.map(|token| Zeroizing::new(token.to_owned()));
        let strings = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        Guard::new(
            &strings(&["localhost"]),
            &strings(&["http://localhost"]),
            token,
        )
    }

    #[test]
    fn names_of_other_machines_are_refused() {
        let guard = guard(None);
        for (host, passes) in [
            ("localhost", true),
            ("localhost:8545", true),
            ("127.0.0.1:8545", true),
            ("[::1]:8545", true),
            ("192.0.2.7", true),
            ("", true),
            ("evil.example", false),
            ("evil.example:8545", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("LOCALHOST", false),
        ] {
            let checked = guard.check(&headers(&[(HOST, host)]));
            assert_eq!(checked.is_ok(), passes, "{host}");
        }
        assert!(guard.check(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn pages_from_elsewhere_open_no_websocket() {
        let guard = guard(None);
        for (origin, passes) in [
            ("http://localhost", true),
            ("HTTP://LOCALHOST", true),
            ("http://localhost:8080", false),
            ("https://evil.example", false),
            ("null", false),
        ] {
            let checked = guard.check_upgrade(&headers(&[(ORIGIN, origin)]));
            assert_eq!(checked.is_ok(), passes, "{origin}");
        }
        assert!(guard.check_upgrade(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn with_a_token_nobody_passes_without() {
        let guard = guard(Some("secret"));
        for (value, passes) in [
            ("Bearer secret", true),
            ("Bearer secre", false),
            ("Bearer secrets", false),
            ("Bearer ", false),
            ("Basic secret", false),
            ("secret", false),
        ] {
            let checked = guard.check(&headers(&[(AUTHORIZATION, value)]));
            assert_eq!(checked.is_ok(), passes, "{value}");
        }
        assert_eq!(
            guard.check(&HeaderMap::new()),
            guard.check_upgrade(&HeaderMap::new())
        );
        assert!(guard.check(&HeaderMap::new()).is_err());
    }
}
