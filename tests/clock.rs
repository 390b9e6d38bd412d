//! The clock of the machine jumps: what local clients ask to be sealed waits until the clock is trusted again.
//!
//! The node runs in this process, so that the test can set its clock.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use ferry::rpc::{self, About, Doors, Intake, Kept, Server};
use legacy::identity::SecretKey;
use legacy::now::Now;
use legacy::shell::{self, Clock, Handle};
use legacy::shh::keyring::Keyring;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Long for anything here, even on a machine that is busy with a build.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that can be set: by how much its two sides are ahead of the machine's (ms).
#[derive(Clone, Default)]
struct Watch {
    wall: Arc<AtomicI64>,
    both: Arc<AtomicI64>,
}

impl Watch {
    fn clock(&self) -> Clock {
        let watch = self.clone();
        Clock::of(move || {
            let (now, both) = (Clock::system().now(), watch.both.load(Ordering::Relaxed));
            let ahead = both + watch.wall.load(Ordering::Relaxed);
            Now {
                mono: now.mono + Duration::from_millis(both.unsigned_abs()),
                unix_ms: now.unix_ms.saturating_add_signed(ahead),
            }
        })
    }

    /// The wall clock is set.
    fn jump(&self, by_ms: i64) {
        self.wall.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Time passes.
    fn pass(&self, ms: i64) {
        self.both.fetch_add(ms, Ordering::Relaxed);
    }
}

/// A Whisper node with a unix socket for its clients.
struct Node {
    handle: Handle,
    _server: Server,
}

impl Node {
    async fn start(watch: &Watch, folder: &Path) -> Self {
        let key = SecretKey::from_bytes(&[0x61; 32]).unwrap();
        let mut config = shell::Config::new(key.clone());
        config.clock = watch.clock();
        let client_name = config.client_name.clone();
        // Nobody listens to its events.
        let (handle, _, _) = shell::spawn(config).unwrap();
        let about = About {
            handle: handle.clone(),
            id: key.public().node_id(),
            enode: handle.local_enode().copied(),
            record: None,
            listen: None,
            client_name,
            datadir: folder.to_owned(),
        };
        let kept = Kept {
            keyring: Keyring::new([0x62; 32]),
            vault: None,
            seed: Zeroizing::new([0x63; 32]),
        };
        let serve = rpc::Config {
            http: None,
            ws: None,
            ipc: Some(socket(folder)),
            namespaces: Vec::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
        };
        let doors = Doors::open(&serve).await.ok().unwrap();
        let server = Server::start(&serve, doors, about, kept, None, Intake::default());
        Self {
            handle,
            _server: server,
        }
    }
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join("ferry.ipc")
}

/// A local client.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(folder: &Path) -> Self {
        let stream = UnixStream::connect(socket(folder)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let text = json!({"id": 1, "method": method, "params": params}).to_string();
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Posts a message with a key that the node knows.
    fn post(&mut self, key: &Value, pow_target: f64, pow_time: u32) -> Value {
        let message = json!({
            "symKeyID": key, "ttl": 20, "topic": "0x01020304", "payload": "0x00", "powTime": pow_time, "powTarget": pow_target,
        });
        self.call("shh_post", json!([message]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_clock_pauses_sealing() {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch::default();
    let node = Node::start(&watch, folder.path()).await;
    let mut client = Client::connect(folder.path());
    let key = client.call("shh_newSymKey", json!([]))["result"].clone();
    let sealed = |answer: Value| assert!(answer["result"].is_string(), "{answer}");
    let refused = |answer: Value, by_s: i64| {
        let words = format!("the clock of this machine jumped by {by_s} s");
        let text = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(text.starts_with(&words), "{answer}");
        assert_eq!(answer["error"]["code"], -32000);
    };
    sealed(client.post(&key, 0.01, 10));
    for by_s in [-8, 8] {
        watch.jump(by_s * 1000);
        refused(client.post(&key, 0.01, 10), by_s);
        assert!(node.handle.clock_state().await.unwrap().is_in_doubt());
        // Faults of the client's own are still told first.
        let unknown = client.post(&json!("ab"), 0.01, 10);
        assert_eq!(unknown["error"]["message"], "non-existent key ID");
        watch.pass(61_000);
        sealed(client.post(&key, 0.01, 10));
    }
    // It jumps while the message is mined, for all of two seconds: the expiry was read before.
    let (other, path) = (watch.clone(), folder.path().to_owned());
    let mining = thread::spawn(move || Client::connect(&path).post(&key, -1.0, 2));
    thread::sleep(Duration::from_millis(500));
    other.jump(-9_000);
    refused(mining.join().unwrap(), -9);
}
