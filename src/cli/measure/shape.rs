//! `ferry measure shape`: what somebody sees in time who watches every link, idle and under load.
//!
//! | module | content |
//! |---|---|
//! | [`load`] | people behind the edges who send long messages, and one who sends to all of them |
//! | [`probe`] | a mix client of its own, with the delays of a published figure |
//! | [`findings`] | from the traces to numbers and verdicts |
//!
//! A devnet is started in which every mix node writes a trace. For a while nobody says anything; then as long again everybody does.
//! Both times every clock of the specification must look as it should, and the two must look the same.

mod findings;
mod load;
mod probe;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use mixnet::preset::Preset;
use mixnet::shape::reading::Node;

use self::findings::{Line, Sight, Verdict};
use self::load::Crowd;
use self::probe::Probe;
use crate::cli::demo::enough_relays;
use crate::cli::demo::network::{self, Network};
use crate::cli::{out, runtime};
use crate::devnet::layout::TRACE_FILE;
use crate::devnet::scratch::fresh;
use crate::exit::Exit;
use crate::failure::Failure;

/// Starts a network, measures delays and gaps at every link with and without messages, and holds them against the theory.
///
/// Prints one line for each figure and ends with 1 if one of them is out of its bounds.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Mix nodes.
    #[arg(long, default_value_t = 3, value_name = "N")]
    relays: usize,
    /// Edges, each with a person who sends.
    #[arg(long, default_value_t = 16, value_name = "N")]
    edges: usize,
    /// Preset of the edges.
    #[arg(long, default_value = "service", value_name = "NAME")]
    preset: String,
    /// Seconds of silence, and as many of load.
    #[arg(long, default_value_t = 280, value_name = "SECONDS")]
    seconds: u64,
    /// Packets a second of the probe with the published delays.
    #[arg(long, default_value_t = 60.0, value_name = "RATE")]
    probe_rate: f64,
    /// Repeats keys and clocks.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Writes everything that was found as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Twenty processes are ready within this time on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// After a change: longer than any packet rests, and than retries of the clients.
const SETTLE: Duration = Duration::from_secs(12);

/// What is measured.
pub(super) struct Phase {
    /// Unix time in nanoseconds at which it began and ended.
    from_ns: u64,
    to_ns: u64,
}

impl Phase {
    async fn run(seconds: u64) -> Self {
        let from_ns = now_ns();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Self {
            from_ns,
            to_ns: now_ns(),
        }
    }

    pub(super) fn holds(&self, at_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&at_ns)
    }
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    enough_relays(options.relays, 0)?;
    if options.edges == 0 || options.seconds == 0 {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "--edges {} for --seconds {} sends nothing",
                options.edges, options.seconds
            ),
            "silence and load are compared, and the load comes from edges",
            "give 1 or more of both",
        ));
    }
    let preset = Preset::named(&options.preset)
        .filter(|preset| preset.delay_ms_mean == Preset::SERVICE.delay_ms_mean)
        .filter(|preset| preset.payload_rate > 0.0);
    let Some(preset) = preset else {
        return Err(Failure::new(
            Exit::Usage,
            format!("--preset {} cannot be measured", options.preset),
            "the bridge answers with its own delay, and one delay is measured",
            "choose service or fast",
        ));
    };
    let runtime = runtime::of_a_command()?;
    let sight = runtime.block_on(watch(options, preset))?;
    let found = findings::find(&sight);
    for Line {
        name,
        figures,
        verdict,
    } in &found.lines
    {
        out::say(&format!("{:<4}  {name}: {figures}", verdict.as_str()));
    }
    if let Some(path) = &options.out {
        std::fs::write(path, format!("{:#}\n", found.json))
            .map_err(|error| Failure::file(Exit::Failed, "write", path, &error))?;
    }
    let failed = found.lines.iter().any(|line| line.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

/// Runs the network through both phases and reads what its nodes wrote.
async fn watch(options: &Options, preset: Preset) -> Result<Sight, Failure> {
    let home = fresh("ferry-measure-")?;
    let devnet = home.path().join("devnet");
    let (relays, edges) = (options.relays.to_string(), options.edges.to_string());
    let (dir, seed) = (
        devnet.display().to_string(),
        options.seed.map(|seed| seed.to_string()),
    );
    let mut args = vec![
        "--trace", "--dir", &dir, "--relays", &relays, "--edges", &edges,
    ];
    args.extend(["--preset", &options.preset]);
    if let Some(seed) = &seed {
        args.extend(["--seed", seed]);
    }
    let mut network = Network::start(&args, READY_WITHIN).await?;
    let result = phases(options, &network, home.path()).await;
    network.stop().await;
    let measured = result?;
    Ok(Sight {
        preset,
        relays: read_all(&network.relays)?,
        bridges: read_all(&network.bridges)?,
        edges: read_all(&network.edges)?,
        probe: read(&measured.probe)?,
        idle: measured.idle,
        loaded: measured.loaded,
        real_idle: measured.real_idle,
        real_loaded: measured.real_loaded,
    })
}

struct Measured {
    probe: PathBuf,
    idle: Phase,
    loaded: Phase,
    real_idle: f64,
    real_loaded: f64,
}

async fn phases(options: &Options, network: &Network, home: &Path) -> Result<Measured, Failure> {
    let crowd = Crowd::attach(network).await?;
    network.wait_following(READY_WITHIN).await?;
    let trace = home.join("probe.txt");
    let list = network
        .relays
        .first()
        .map(|relay| relay.dir.join("topology.json"));
    let probe = Probe::start(&list.unwrap_or_default(), &trace, options.probe_rate).await?;
    tokio::time::sleep(SETTLE).await;
    let before = real(network).await;
    let idle = Phase::run(options.seconds).await;
    let between = real(network).await;
    let talk = crowd.talk();
    tokio::time::sleep(SETTLE).await;
    let started = real(network).await;
    let loaded = Phase::run(options.seconds).await;
    let after = real(network).await;
    talk.stop().await?;
    // What is under way comes to its end.
    tokio::time::sleep(SETTLE).await;
    probe.stop().await;
    Ok(Measured {
        probe: trace,
        idle,
        loaded,
        real_idle: between - before,
        real_loaded: after - started,
    })
}

/// Packets with messages in them that edges and bridges have sent.
async fn real(network: &Network) -> f64 {
    let mut sum = 0.0;
    for node in network.edges.iter().chain(&network.bridges) {
        for kind in ["payload", "reply"] {
            let name = format!("mix_packets_total{{kind=\"{kind}\"}}");
            sum += node.metric(&name).await.unwrap_or(0.0);
        }
    }
    sum
}

fn read_all(nodes: &[network::Node]) -> Result<Vec<Node>, Failure> {
    let traces = nodes.iter().map(|node| node.dir.join(TRACE_FILE));
    traces.map(|path| read(&path)).collect()
}

fn read(path: &Path) -> Result<Node, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::file(Exit::Failed, "read", path, &error))?;
    let mut node = Node::default();
    for line in text.lines() {
        let line = line
            .parse()
            .map_err(|error: mixnet::shape::reading::NoLine| {
                Failure::bug(format!("{} is no trace", path.display()), error.to_string())
            })?;
        node.take(line);
    }
    Ok(node)
}

fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
