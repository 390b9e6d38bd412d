//! The store on a real disk: a process that is killed loses nothing that it was told is written; the two roles resume from it.

#![cfg(feature = "shell")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bridge::store::{Batch, Family, RocksStore, Store};

/// Tells the writer below where to write.
const DIR: &str = "BRIDGE_TEST_ROCKS_DIR";

/// Not a test of its own: the process that is killed. It writes until it dies and says what it has written.
#[test]
#[ignore = "started by a_killed_process_loses_nothing"]
fn writer() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = RocksStore::open(dir.as_ref()).unwrap();
    for n in 0u32.. {
        let mut batch = Batch::default();
        batch.put(Family::Envelopes, n.to_be_bytes(), vec![7; 1500]);
        batch.put(Family::Seen, n.to_be_bytes(), n.to_le_bytes());
        if n >= 10 {
            batch.delete(Family::Envelopes, (n - 10).to_be_bytes());
        }
        store.write(&batch, n % 8 == 0).unwrap();
        println!("\nwritten {n}");
    }
}

#[test]
fn a_killed_process_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "writer", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let written = |line: String| line.strip_prefix("written ")?.parse::<u32>().ok();
        let enough = 300 + round * 50;
        let mut last = 0;
        for n in lines.map_while(Result::ok).filter_map(written) {
            last = n;
            if n >= enough {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(last >= enough, "the writer ended by itself at {last}");

        let store = RocksStore::open(dir.path()).unwrap();
        for n in 0..=last {
            let seen = store.get(Family::Seen, &n.to_be_bytes()).unwrap();
            assert_eq!(seen, Some(n.to_le_bytes().to_vec()), "batch {n} of {last}");
        }
        // Batches are whole: an envelope is there exactly if the batch that removes it is not.
        let envelopes = store.scan(Family::Envelopes, b"", b"", 10_000).unwrap();
        assert_eq!(envelopes.len(), 10, "round {round}");
    }
}

mod resumed {
    use super::*;
    use bridge::engine::{self, Engine};
    use bridge::gateway::client::{self, Client};
    use bridge::gateway::seal::ExchangeSecret;
    use bridge::port::{BridgeId, BridgeInfo, Envelope, EnvelopeFacts, Inspect, InspectError};
    use bridge::runner;

    /// Takes everything for the same envelope.
    struct Anything;

    impl Inspect for Anything {
        fn inspect(&self, rlp: &[u8]) -> Result<EnvelopeFacts, InspectError> {
            let mut hash = [0; 32];
            hash[..rlp.len().min(32)].copy_from_slice(&rlp[..rlp.len().min(32)]);
            let facts = EnvelopeFacts {
                hash,
                content_id: hash,
                topic: [1; 4],
                sent: 1,
                expiry: 16,
                ttl: 15,
                size: 100,
                pow: 1.0,
            };
            Ok(facts)
        }
    }

    fn client_config() -> client::Config {
        let bridge = BridgeInfo {
            id: BridgeId([2; 33]),
            gateway_key: *ExchangeSecret::from_bytes([5; 32]).public().bytes(),
        };
        client::Config::new(vec![bridge], Arc::new(Anything), [1; 32], 3932)
    }

    fn envelope(n: u8) -> Envelope {
        let rlp: Arc<[u8]> = Arc::from([n; 32]);
        let facts = Anything.inspect(&rlp).unwrap();
        Envelope { rlp, facts }
    }

    /// The runner writes what the edge accepts, hands out what waits for it, and ends when told to.
    #[tokio::test]
    async fn an_edge_ends_in_order_and_resumes() {
        let dir = tempfile::tempdir().unwrap();
        {
            let store = Arc::new(RocksStore::open(dir.path()).unwrap());
            let core = Client::open(client_config(), store.clone(), runner::now()).unwrap();
            let mut running = runner::spawn(core, store);
            for n in 0..20 {
                running
                    .input
                    .send(client::Input::Envelope(envelope(n)))
                    .await
                    .unwrap();
            }
            let mut committed = 0;
            while committed < 20 {
                if let Some(client::Output::Trace(trace)) = running.output.recv().await
                    && trace.stage == bridge::port::Stage::Committed
                {
                    committed += 1;
                }
            }
            running
                .input
                .send(client::Input::Envelope(envelope(20)))
                .await
                .unwrap();
            drop(running.input);
            while running.output.recv().await.is_some() {}
            running.task.await.unwrap().unwrap();
        }
        let store = Arc::new(RocksStore::open(dir.path()).unwrap());
        let mut core = Client::open(client_config(), store, runner::now()).unwrap();
        assert_eq!(core.status().posts_waiting, 21);
        core.handle(runner::now(), client::Input::Envelope(envelope(3)))
            .unwrap();
        assert_eq!(core.status().posts_waiting, 21, "known from before");
    }

    /// A bridge whose disk fails says so.
    #[tokio::test]
    async fn a_failing_store_ends_the_runner() {
        struct Failing(bridge::store::MemoryStore);
        impl Store for Failing {
            fn get(
                &self,
                f: Family,
                key: &[u8],
            ) -> Result<Option<Vec<u8>>, bridge::store::StoreError> {
                self.0.get(f, key)
            }
            fn scan(
                &self,
                f: Family,
                prefix: &[u8],
                from: &[u8],
                limit: usize,
            ) -> Result<Vec<bridge::store::Entry>, bridge::store::StoreError> {
                self.0.scan(f, prefix, from, limit)
            }
            fn write(&self, _: &Batch, _: bool) -> Result<(), bridge::store::StoreError> {
                Err(bridge::store::StoreError::Io("no space left".into()))
            }
        }
        let store = Arc::new(Failing(bridge::store::MemoryStore::new()));
        let core = Client::open(client_config(), store.clone(), runner::now()).unwrap();
        let mut running = runner::spawn(core, store);
        running
            .input
            .send(client::Input::Envelope(envelope(1)))
            .await
            .unwrap();
        // Nothing that depends on the write comes out.
        assert!(running.output.recv().await.is_none());
        let error = running.task.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("no space left"), "{error}");
    }

    #[test]
    fn an_engine_needs_a_key_and_a_packet() {
        let config = |id, frame_capacity| engine::Config {
            id: BridgeId(id),
            gateway_secret: ExchangeSecret::from_bytes([5; 32]),
            inspect: Arc::new(Anything),
            seed: [1; 32],
            frame_capacity,
            retry: engine::RETRY,
            reseal: true,
            mailboxes: None,
        };
        let open = |config| {
            Engine::open(
                config,
                Arc::new(bridge::store::MemoryStore::new()),
                runner::now(),
            )
            .err()
        };
        let mut key = [0; 33];
        assert!(
            open(config(key, 3932))
                .unwrap()
                .to_string()
                .contains("not a compressed")
        );
        key.copy_from_slice(
            &hex::decode("03cab365fcbb92f82b9c47ceaa27d654268606dea9cd658e369abf5c3fc59d0fa2")
                .unwrap(),
        );
        assert!(open(config(key, 24)).is_some());
        assert!(open(config(key, 3932)).is_none());
    }
}
