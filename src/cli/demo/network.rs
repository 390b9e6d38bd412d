//! The devnet of the demo: a child process, and questions to the APIs of its nodes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use crate::devnet::probe;
use crate::exit::Exit;
use crate::failure::Failure;

/// The devnet stops its children within this time after its input closed.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// Between two looks at a node that is not ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running devnet.
pub(in crate::cli) struct Network {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// The first of them.
    pub(super) edge: Node,
    /// The first of them.
    pub(in crate::cli) bridge: Node,
    pub(in crate::cli) edges: Vec<Node>,
    pub(in crate::cli) bridges: Vec<Node>,
    pub(in crate::cli) relays: Vec<Node>,
    pub(in crate::cli) whisper: Node,
}

/// One node of it, as the ready line describes it.
#[derive(Debug, Default)]
pub(in crate::cli) struct Node {
    name: String,
    pub(in crate::cli) enode: String,
    pub(super) peer_id: String,
    pub(in crate::cli) dir: PathBuf,
    api: Option<SocketAddr>,
}

impl Network {
    /// Starts it with these options and waits until all nodes are ready.
    pub(in crate::cli) async fn start(args: &[&str], within: Duration) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| broken(error.to_string()))?;
        let mut child = Command::new(program)
            .args(["devnet", "--json"])
            .args(args)
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
        let line = tokio::time::timeout(within, output.next_line()).await;
        let ready = match line {
            Ok(Ok(Some(line))) => {
                serde_json::from_str::<Value>(&line).map_err(|error| broken(error.to_string()))?
            }
            Ok(Ok(None)) => return Err(broken("it ended; it said why above".to_owned())),
            Ok(Err(error)) => return Err(broken(error.to_string())),
            Err(_) => {
                return Err(broken(format!(
                    "it was not ready within {} s",
                    within.as_secs()
                )));
            }
        };
        let one = |kind: &str| Node::of(&ready[kind][0]);
        let all = |kind: &str| {
            let nodes = ready[kind].as_array().into_iter().flatten();
            nodes.map(Node::of).collect()
        };
        Ok(Self {
            child,
            input,
            output,
            edge: one("edges"),
            bridge: one("bridges"),
            edges: all("edges"),
            bridges: all("bridges"),
            relays: all("relays"),
            whisper: one("whisper"),
        })
    }

    /// Waits until the bridge follows for every edge what its client asked for.
    pub(in crate::cli) async fn wait_following(&self, within: Duration) -> Result<(), Failure> {
        let end = Instant::now() + within;
        for edge in &self.edges {
            while !edge.is_following().await {
                if Instant::now() >= end {
                    return Err(broken(format!(
                        "an edge did not register within {} s",
                        within.as_secs()
                    )));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
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
    pub(in crate::cli) async fn stop(&mut self) {
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
            dir: text("dir").into(),
            api: api
                .strip_prefix("http://")
                .and_then(|address| address.parse().ok()),
        }
    }

    async fn is_following(&self) -> bool {
        let info = self.get("/v1/info").await;
        info["edge"]["registered"] == true && info["edge"]["client"] == "following"
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

    /// The sum of a metric over its labels; with some of them in the name, over those.
    pub(in crate::cli) async fn metric(&self, name: &str) -> Option<f64> {
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
