//! The URL of a peer, as `admin_addPeer` and its like take it.
//!
//! ```text
//! enode://<128 hex digits>@<IP>:<TCP port>[?discport=<UDP port>]     a peer that can be dialled
//! enode://<128 hex digits>                                           its name alone
//! enr:<base64>                                                       a signed record
//! ```
//!
//! The words of a refusal are go-ethereum's. Host names are not resolved: who controls a name controls whom we dial.

use legacy::enode::Enode;
use legacy::enr::{EnrError, Record};
use legacy::identity::{NodeId, PUBLIC_KEY_LEN, PublicKey};

/// A peer: who it is and, if the URL says so, where.
#[derive(Debug, PartialEq)]
pub(crate) struct PeerUrl {
    pub(crate) node: NodeId,
    pub(crate) enode: Option<Enode>,
}

impl PeerUrl {
    /// Reads a URL.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return record(text);
        };
        if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let node = public_key(rest)?.node_id();
            return Ok(Self { node, enode: None });
        }
        let (key, address) = rest.split_once('@').ok_or("does not contain node ID")?;
        public_key(key)?;
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => (host, port),
            _ => (address, ""),
        };
        let ip = host.trim_start_matches('[').trim_end_matches(']');
        if ip.parse::<std::net::IpAddr>().is_err() {
            return Err(format!("lookup {ip}: no such host"));
        }
        if port.parse::<u16>().is_err() {
            return Err("invalid port".to_owned());
        }
        let discport = query
            .split('&')
            .find_map(|part| part.strip_prefix("discport="));
        if discport.is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err()) {
            return Err("invalid discport in query".to_owned());
        }
        let discport = discport
            .filter(|port| !port.is_empty())
            .map(|port| format!("?discport={port}"))
            .unwrap_or_default();
        let enode: Enode = format!("{SCHEME}{key}@{address}{discport}")
            .parse()
            .map_err(|error: legacy::enode::EnodeError| error.to_string())?;
        Ok(Self {
            node: enode.node_id(),
            enode: Some(enode),
        })
    }
}

/// A signed record instead of a URL. What is wrong inside of one is said in our own words.
fn record(text: &str) -> Result<PeerUrl, String> {
    if !text.starts_with("enr:") {
        return Err("missing 'enr:' prefix for base64-encoded record".to_owned());
    }
    let record: Record = text.parse().map_err(|error: EnrError| error.to_string())?;
    Ok(PeerUrl {
        node: record.node_id(),
        enode: record.enode(),
    })
}

fn public_key(digits: &str) -> Result<PublicKey, String> {
    let invalid = |why: String| format!("invalid public key ({why})");
    if let Some(wrong) = digits.chars().find(|one| !one.is_ascii_hexdigit()) {
        let code = u32::from(wrong);
        return Err(invalid(format!(
            "encoding/hex: invalid byte: U+{code:04X} '{wrong}'"
        )));
    }
    if !digits.len().is_multiple_of(2) {
        return Err(invalid("encoding/hex: odd length hex string".to_owned()));
    }
    let bytes = hex::decode(digits).map_err(|error| invalid(error.to_string()))?;
    let bytes: [u8; PUBLIC_KEY_LEN] = bytes.try_into().map_err(|_| {
        invalid(format!(
            "wrong length, want {} hex chars",
            2 * PUBLIC_KEY_LEN
        ))
    })?;
    PublicKey::from_bytes(&bytes).map_err(|_| invalid("invalid secp256k1 public key".to_owned()))
}

const SCHEME: &str = "enode://";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KEY: &str = "ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";
    const ID: &str = "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7";

    #[test]
    fn with_and_without_an_address() {
        for (text, dialled) in [
            (format!("enode://{KEY}"), false),
            (format!("enode://{KEY}@127.0.0.1:30303"), true),
            (format!("enode://{KEY}@[::1]:1"), true),
            (format!("enode://{KEY}@127.0.0.1:30303?discport=0"), true),
            (format!("enode://{KEY}@127.0.0.1:1?discport="), true),
            (format!("enode://{KEY}@127.0.0.1:1?x=y"), true),
        ] {
            let url = PeerUrl::parse(&text).unwrap();
            assert_eq!(hex::encode(url.node.as_bytes()), ID, "{text}");
            assert_eq!(url.enode.is_some(), dialled, "{text}");
        }
    }

    #[test]
    fn the_words_of_go_ethereum() {
        let zeros = "00".repeat(64);
        for (text, words) in [
            (
                String::new(),
                "missing 'enr:' prefix for base64-encoded record",
            ),
            (
                "http://x".to_owned(),
                "missing 'enr:' prefix for base64-encoded record",
            ),
            ("enode://".to_owned(), "does not contain node ID"),
            ("enode://127.0.0.1:1".to_owned(), "does not contain node ID"),
            (format!("enode://{KEY}@127.0.0.1"), "invalid port"),
            (format!("enode://{KEY}@127.0.0.1:99999"), "invalid port"),
            (
                format!("enode://{KEY}@127.0.0.1:1?discport=x"),
                "invalid discport in query",
            ),
            (
                format!("enode://{}@127.0.0.1:1", &KEY[2..]),
                "invalid public key (wrong length, want 128 hex chars)",
            ),
            (
                "enode://zz@127.0.0.1:1".to_owned(),
                "invalid public key (encoding/hex: invalid byte: U+007A 'z')",
            ),
            (
                format!("enode://{zeros}@127.0.0.1:1"),
                "invalid public key (invalid secp256k1 public key)",
            ),
            (
                format!("enode://{KEY}@name.invalid:1"),
                "lookup name.invalid: no such host",
            ),
        ] {
            assert_eq!(PeerUrl::parse(&text).unwrap_err(), words, "{text}");
        }
    }
}
