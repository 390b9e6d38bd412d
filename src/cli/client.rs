//! What `ferry send` and `ferry listen` share: a Whisper node of one connection that lives as long
//! as the command, and keys from files.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use legacy::enode::Enode;
use legacy::identity::{PublicKey, SecretKey};
use legacy::shell::{self, Event, Handle};
use legacy::shh::node::Wants;
use legacy::shh::seal::SymKey;
use legacy::shh::{Bloom, Topic};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::{Failure, StartError};
use crate::keystore;

/// The peer gets the last messages within this time before the command ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// From handing a message to the connection to the goodbye; writing it takes a millisecond.
const LINGER: Duration = Duration::from_millis(300);

/// A connection to one Whisper node.
pub(super) struct Client {
    pub(super) handle: Handle,
    pub(super) events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
    peer: Enode,
}

impl Client {
    /// Dials the peer with a fresh key; nobody can connect to us.
    pub(super) fn start(peer: &Enode, bloom: Option<Bloom>) -> Result<Self, Failure> {
        let mut rng = random()?;
        let mut config = shell::Config::new(SecretKey::generate(&mut rng));
        config.listen = None;
        config.static_peers = vec![*peer];
        config.shh.min_pow = 0.0;
        config.shh.bloom = bloom;
        let (handle, events, task) = shell::spawn(config)
            .map_err(|error| Failure::from(StartError::Resources(error.to_string())))?;
        Ok(Self {
            handle,
            events,
            task,
            peer: *peer,
        })
    }

    /// Waits until the peer has said what it wants.
    pub(super) async fn attached(&mut self, within: Duration) -> Result<Wants, Failure> {
        let wait = async {
            while let Some(event) = self.events.recv().await {
                if matches!(event, Event::PeerInterest { .. }) {
                    let wants = self
                        .handle
                        .peers()
                        .await
                        .into_iter()
                        .find_map(|peer| peer.wants);
                    if let Some(wants) = wants {
                        return Some(wants);
                    }
                }
            }
            None
        };
        match tokio::time::timeout(within, wait).await {
            Ok(Some(wants)) => Ok(wants),
            Ok(None) => Err(Failure::bug(
                "the Whisper client ended",
                "it gave no reason",
            )),
            Err(_) => Err(unreachable_peer(self.peer.tcp(), within)),
        }
    }

    /// Says goodbye, after what was handed to the connection has had time to leave: a message that is
    /// reported as sent may still stand in line there, and the goodbye does not queue behind it.
    pub(super) async fn close(self) {
        tokio::time::sleep(LINGER).await;
        self.handle.shutdown().await;
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.task).await;
    }
}

fn unreachable_peer(address: SocketAddr, within: Duration) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("no Whisper connection to {address}"),
        format!(
            "nobody there answered as the key of the enode within {} s",
            within.as_secs()
        ),
        "check that the node runs, that the enode is its own, and that it has room for a peer",
    )
}

/// Randomness, seeded by the system.
pub(super) fn random() -> Result<ChaCha20Rng, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    keystore::system_random(&mut seed)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

/// Unix milliseconds.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// For the command line: `enode://…`.
pub(super) fn parse_enode(text: &str) -> Result<Enode, String> {
    text.parse()
        .map_err(|error: legacy::enode::EnodeError| error.to_string())
}

/// For the command line: eight hexadecimal digits.
pub(super) fn parse_topic(text: &str) -> Result<Topic, String> {
    let mut bytes = [0; Topic::LEN];
    hex::decode_to_slice(text.trim_start_matches("0x"), &mut bytes)
        .map(|()| Topic::new(bytes))
        .map_err(|_| "a topic is 8 hexadecimal digits".to_owned())
}

/// For the command line: a public key with or without its leading 04.
pub(super) fn parse_public_key(text: &str) -> Result<PublicKey, String> {
    let digits = text.trim_start_matches("0x");
    let digits = digits
        .strip_prefix("04")
        .filter(|rest| rest.len() == 128)
        .unwrap_or(digits);
    let mut bytes = [0; 64];
    hex::decode_to_slice(digits, &mut bytes)
        .map_err(|_| "a public key is 128 hexadecimal digits, or 04 and 128".to_owned())?;
    PublicKey::from_bytes(&bytes).map_err(|error| error.to_string())
}

/// A symmetric key from a file.
pub(super) fn sym_key_file(path: &Path) -> Result<SymKey, Failure> {
    SymKey::from_bytes(&*key_file(path)?).map_err(|error| bad_key(path, &error.to_string()))
}

/// A secret key from a file.
pub(super) fn secret_key_file(path: &Path) -> Result<SecretKey, Failure> {
    SecretKey::from_bytes(&*key_file(path)?).map_err(|error| bad_key(path, &error.to_string()))
}

/// 64 hexadecimal digits. Keys are taken from files only: a command line is seen by everybody.
fn key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Failure::file(Exit::Keys, "read the key", path, &error))?;
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim().trim_start_matches("0x"), bytes.as_mut())
        .map_err(|_| bad_key(path, "it does not hold 64 hexadecimal digits"))?;
    Ok(bytes)
}

fn bad_key(path: &Path, why: &str) -> Failure {
    Failure::new(
        Exit::Keys,
        format!("{} holds no key", path.display()),
        why,
        "give a file with the 32 bytes of the key in hexadecimal digits",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_public_keys_are_read_strictly() {
        assert_eq!(
            parse_topic("cd423760").unwrap().as_bytes(),
            &[0xcd, 0x42, 0x37, 0x60]
        );
        assert_eq!(parse_topic("0xcd423760"), parse_topic("CD423760"));
        for bad in ["", "cd4237", "cd42376000", "status", "0x"] {
            assert!(parse_topic(bad).is_err(), "{bad}");
        }
        let key = "4f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa385b6b1b8ead809ca67454d9683fcf2ba03456d6fe2c4abe2b07f0fbdbb2f1c1";
        assert_eq!(
            parse_public_key(key),
            parse_public_key(&format!("0x04{key}"))
        );
        for bad in ["", &key[1..], &"00".repeat(64), &format!("02{key}")] {
            assert!(parse_public_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_file_holds_32_bytes_in_hexadecimal() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("key");
        fs::write(&path, format!("0x{}\n", "11".repeat(32))).unwrap();
        assert!(sym_key_file(&path).is_ok() && secret_key_file(&path).is_ok());
        for bad in ["", "11", &"00".repeat(32), &"zz".repeat(32)] {
            fs::write(&path, bad).unwrap();
            assert_eq!(sym_key_file(&path).unwrap_err().exit, Exit::Keys, "{bad}");
            assert_eq!(
                secret_key_file(&path).unwrap_err().exit,
                Exit::Keys,
                "{bad}"
            );
        }
        assert!(sym_key_file(&base.path().join("none")).is_err());
    }
}
