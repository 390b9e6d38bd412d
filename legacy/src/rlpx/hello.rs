//! Hello: the first message of each side on the encrypted connection.
//!
//! ```text
//! [version, client name, [[name, version], …], listen port, public key (64), …]
//! ```
//!
//! Never compressed, at most 2 KiB. Further items, bytes after the list and the port are ignored; of the version it only
//! matters whether it is below 5, because then nothing is compressed. The key must be the one that the handshake proved.
//! Spec: devp2p base protocol, Hello.

use thiserror::Error;

use super::capability::Capability;
use super::disconnect::DisconnectReason;
use crate::identity::{PUBLIC_KEY_LEN, PublicKey};
use crate::rlp::{Item, List, RlpError};

/// The version that we speak.
pub const VERSION: u64 = 5;
/// From this version on payloads are compressed.
pub const VERSION_WITH_SNAPPY: u64 = 5;

/// What a peer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of its base protocol.
    pub version: u64,
    /// What it calls itself; bytes that are no text are replaced.
    pub client_name: String,
    /// What it speaks.
    pub capabilities: Vec<(String, u64)>,
    /// Where it listens, it says; everybody says 0.
    pub listen_port: u64,
    /// Its identity, not checked for anything but its length.
    pub public_key: [u8; PUBLIC_KEY_LEN],
}

impl Hello {
    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Hello, HelloError> {
        let fields = fields(payload)?;
        if fields.public_key.len() != PUBLIC_KEY_LEN
            || fields.public_key.iter().all(|byte| *byte == 0)
        {
            return Err(HelloError::NullIdentity {
                len: fields.public_key.len(),
            });
        }
        let public_key = fields.public_key.try_into().expect("the length is checked");
        Ok(Hello {
            version: fields.version,
            client_name: String::from_utf8_lossy(fields.client_name).into_owned(),
            capabilities: fields.capabilities,
            listen_port: fields.listen_port,
            public_key,
        })
    }

    /// Writes ours.
    pub fn encode(client_name: &str, capabilities: &[Capability], key: &PublicKey) -> Vec<u8> {
        let mut sorted: Vec<_> = capabilities.iter().collect();
        sorted.sort_by_key(|capability| (capability.name, capability.version));
        let capabilities = sorted.iter().fold(List::new(), |list, capability| {
            list.list(
                List::new()
                    .bytes(capability.name.as_bytes())
                    .uint(capability.version),
            )
        });
        List::new()
            .uint(VERSION)
            .bytes(client_name.as_bytes())
            .list(capabilities)
            .uint(0)
            .bytes(&key.to_bytes())
            .finish()
    }

    /// Whether payloads are compressed from now on.
    pub const fn snappy(&self) -> bool {
        self.version >= VERSION_WITH_SNAPPY
    }
}

struct Fields<'a> {
    version: u64,
    client_name: &'a [u8],
    capabilities: Vec<(String, u64)>,
    listen_port: u64,
    public_key: &'a [u8],
}

fn fields(payload: &[u8]) -> Result<Fields<'_>, RlpError> {
    let (hello, _trailing) = Item::first(payload)?;
    let mut items = hello.list()?;
    let version = items.required()?.uint()?;
    let client_name = items.required()?.bytes()?;
    let mut capabilities = Vec::new();
    for capability in items.required()?.list()? {
        let [name, version] = capability?.list_of()?;
        capabilities.push((
            String::from_utf8_lossy(name.bytes()?).into_owned(),
            version.uint()?,
        ));
    }
    let listen_port = items.required()?.uint()?;
    let public_key = items.required()?.bytes()?;
    Ok(Fields {
        version,
        client_name,
        capabilities,
        listen_port,
        public_key,
    })
}

/// Why a Hello is no good.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HelloError {
    /// Not a list of the fields.
    #[error("the Hello is malformed: {0}")]
    Malformed(RlpError),
    /// No key, or one that is all zeros.
    #[error("the Hello names no identity (a key of {len} bytes)")]
    NullIdentity {
        /// The length of what stands there.
        len: usize,
    },
}

impl HelloError {
    /// What to tell the peer.
    pub const fn reason(&self) -> DisconnectReason {
        match self {
            HelloError::Malformed(_) => DisconnectReason::ProtocolBreach,
            HelloError::NullIdentity { .. } => DisconnectReason::NullIdentity,
        }
    }
}

impl From<RlpError> for HelloError {
    fn from(error: RlpError) -> HelloError {
        HelloError::Malformed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::capability::SHH;
    use super::super::fixtures::*;
    use super::*;

    #[test]
    fn published_hello_with_extras() {
        let hello = Hello::decode(&bytes(EIP8_HELLO)).unwrap();
        assert_eq!(hello.version, 55);
        assert!(hello.snappy());
        assert_eq!(hello.client_name, "kneth/v0.91/plan9");
        assert_eq!(
            hello.capabilities,
            [("eth".to_owned(), 61), ("mork".to_owned(), 22)]
        );
        assert_eq!(hello.listen_port, 9999);
        assert_eq!(hello.public_key, secret(STATIC_A).public().to_bytes());
    }

    #[test]
    fn ours_is_byte_exact() {
        assert_eq!(
            hex::encode(Hello::encode(
                "rust-shh/0.1",
                &[SHH],
                &secret(STATIC_A).public()
            )),
            HELLO_PAYLOAD
        );
    }

    #[test]
    fn version_four_has_no_snappy() {
        let payload = List::new()
            .uint(4)
            .bytes(b"")
            .list(List::new())
            .uint(0)
            .bytes(&[1; 64])
            .finish();
        assert!(!Hello::decode(&payload).unwrap().snappy());
    }

    #[test]
    fn bad_hellos_are_refused_with_the_right_reason() {
        let hello = |key: &[u8]| {
            List::new()
                .uint(5)
                .bytes(b"x")
                .list(List::new())
                .uint(0)
                .bytes(key)
                .finish()
        };
        for key in [&[][..], &[0; 64], &[1; 63], &[1; 65]] {
            let error = Hello::decode(&hello(key)).unwrap_err();
            assert_eq!(error, HelloError::NullIdentity { len: key.len() });
            assert_eq!(error.reason(), DisconnectReason::NullIdentity);
        }
        let flat = List::new()
            .uint(5)
            .bytes(b"x")
            .bytes(b"shh")
            .uint(0)
            .bytes(&[1; 64])
            .finish();
        let triple = List::new()
            .uint(5)
            .bytes(b"x")
            .list(List::new().list(List::new().bytes(b"shh").uint(6).uint(7)))
            .uint(0)
            .bytes(&[1; 64])
            .finish();
        let short = List::new()
            .uint(5)
            .bytes(b"x")
            .list(List::new())
            .uint(0)
            .finish();
        for payload in [
            &[][..],
            &[0x80],
            &[0xc0],
            &flat,
            &triple,
            &short,
            &hello(&[1; 64])[..20],
        ] {
            let error = Hello::decode(payload).unwrap_err();
            assert!(matches!(error, HelloError::Malformed(_)), "{error}");
            assert_eq!(error.reason(), DisconnectReason::ProtocolBreach);
        }
    }
}
