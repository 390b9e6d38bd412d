//! The devnet of the demo: a child process, and questions to the APIs of its nodes.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use crate::devnet::probe;
use crate::exit::Exit;
use crate::failure::Failure;

/// A devnet of nine processes is ready after a few seconds; on a busy machine it takes longer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The devnet stops its children within this time after its input closed.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// Between two looks at a node that is not ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running devnet.
pub(super) struct Network {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    pub(super) edge: Node,
    pub(super) bridge: Node,
    pub(super) relays: Vec<Node>,
    pub(super) whisper: Node,
}

/// One node of it, as the ready line describes it.
#[derive(Debug, Default)]
pub(super) struct Node {
    name: String,
    pub(super) enode: String,
    pub(super) peer_id: String,
    api: Option<SocketAddr>,
}

impl Network {
    /// Starts it and waits until all nodes are ready.
    pub(super) async fn start(relays: usize, preset: &str, loss: u8) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| broken(error.to_string()))?;
        let mut child = Command::new(program)
            .args([
                "devnet",
                "--json",
                "--relays",
                &relays.to_string(),
                "--preset",
                preset,
                "--loss",
                &loss.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| broken(error.to_string()))?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .ok_or_else(|| broken("it has no output".to_owned()))?;
        let mut output = BufReader::new(output).lines();
        let line = tokio::time::timeout(READY_WITHIN, output.next_line()).await;
        let ready = match line {
            Ok(Ok(Some(line))) => {
                serde_json::from_str::<Value>(&line).map_err(|error| broken(error.to_string()))?
            }
            Ok(Ok(None)) => return Err(broken("it ended; it said why above".to_owned())),
            Ok(Err(error)) => return Err(broken(error.to_string())),
            Err(_) => {
                return Err(broken(format!(
                    "it was not ready within {} s",
                    READY_WITHIN.as_secs()
                )));
            }
        };
        let one = |kind: &str| Node::of(&ready[kind][0]);
        let relays = ready["relays"]
            .as_array()
            .into_iter()
            .flatten()
            .map(Node::of)
            .collect();
        Ok(Self {
            child,
            input,
            output,
            edge: one("edges"),
            bridge: one("bridges"),
            relays,
            whisper: one("whisper"),
        })
    }

    /// Waits until the bridge follows for the edge what Alice's client asked for.
    pub(super) async fn wait_following(&self, within: Duration) -> Result<(), Failure> {
        let end = Instant::now() + within;
        while Instant::now() < end {
            let info = self.edge.get("/v1/info").await;
            if info["edge"]["registered"] == true && info["edge"]["client"] == "following" {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(broken(format!(
            "the edge did not register within {} s",
            within.as_secs()
        )))
    }

    /// Kills the last relay as SIGKILL does.
    pub(super) async fn kill_relay(&mut self) -> Result<(), Failure> {
        let Some(relay) = self.relays.pop() else {
            return Ok(());
        };
        let line = format!("{}\n", json!({"op": "kill", "name": relay.name}));
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        let written = input.write_all(line.as_bytes()).await;
        written.map_err(|error| broken(error.to_string()))
    }

    /// Resident memory of the edge and of the bridge, in bytes.
    pub(super) async fn memory(&self) -> [(String, f64); 2] {
        let of = async |node: &Node| {
            node.metric("process_resident_memory_bytes")
                .await
                .unwrap_or(0.0)
        };
        [
            ("edge".to_owned(), of(&self.edge).await),
            ("bridge".to_owned(), of(&self.bridge).await),
        ]
    }

    /// Closes its input, which stops it, and waits for its end.
    pub(super) async fn stop(&mut self) {
        drop(self.input.take());
        let end = async {
            while let Ok(Some(_)) = self.output.next_line().await {}
            let _ = self.child.wait().await;
        };
        // Dropped with the network, a child that does not stop is killed.
        let _ = tokio::time::timeout(STOPS_WITHIN, end).await;
    }
}

impl Node {
    fn of(value: &Value) -> Self {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let api = text("api");
        Self {
            name: text("name"),
            enode: text("enode"),
            peer_id: text("peer_id"),
            api: api
                .strip_prefix("http://")
                .and_then(|address| address.parse().ok()),
        }
    }

    /// The life of an envelope at this node: name of each stage and Unix milliseconds.
    pub(super) async fn life(&self, hash: &[u8; 32]) -> Vec<(String, u64)> {
        let life = self
            .get(&format!("/v1/messages/{}", hex::encode(hash)))
            .await;
        let step = |step: &Value| {
            Some((
                step["stage"].as_str()?.to_owned(),
                step["at_unix_ms"].as_u64()?,
            ))
        };
        life["stages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(step)
            .collect()
    }

    /// The peer ids of its mixnet connections.
    pub(super) async fn mix_peers(&self) -> Vec<String> {
        let peers = self.get("/v1/peers").await;
        let id = |peer: &Value| peer["peer_id"].as_str().map(str::to_owned);
        peers["mix"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(id)
            .collect()
    }

    /// The sum of a metric over its labels.
    pub(super) async fn metric(&self, name: &str) -> Option<f64> {
        let text = probe::text(self.api?, "/metrics").await.ok()?;
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let value = rest.strip_prefix(' ').or_else(|| {
                rest.starts_with('{')
                    .then(|| rest.rsplit(' ').next())
                    .flatten()
            })?;
            value.parse::<f64>().ok()
        };
        Some(text.lines().filter_map(of).sum())
    }

    async fn get(&self, path: &str) -> Value {
        match self.api {
            Some(api) => probe::get(api, path).await.unwrap_or_default(),
            None => Value::Null,
        }
    }
}

fn broken(why: String) -> Failure {
    Failure::new(
        Exit::Failed,
        "the network of the demo does not run",
        why,
        "run `ferry devnet` to see more",
    )
}
