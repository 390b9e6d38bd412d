//! A mix client of its own whose packets rest half a second at each hop, as in figure 10 of Loopix.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::time::Duration;

use mixnet::Descriptor;
use mixnet::Protection;
use mixnet::SecretKey;
use mixnet::preset::Preset;
use mixnet::replay::Capacity;
use mixnet::shell::{self, Handle};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::keystore::system_random;

/// Mean delay at each hop, in milliseconds.
pub(super) const DELAY_MS: u16 = 500;

/// It finds its relays within this time.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at a node that is not ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The running client.
pub(super) struct Probe {
    handle: Handle,
    events: JoinHandle<()>,
    task: JoinHandle<()>,
}

impl Probe {
    /// Starts it with the relay list of the network, which it does not join.
    pub(super) async fn start(list: &Path, trace: &Path, rate: f64) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(list)
            .map_err(|error| Failure::file(Exit::Failed, "read", list, &error))?;
        let topology = Descriptor::list_from_json(&text).map_err(|error| broken(&error))?;
        let mut preset = Preset::SERVICE;
        (preset.payload_rate, preset.loop_rate, preset.drop_rate) = (rate / 2.0, 0.0, rate / 2.0);
        preset.delay_ms_mean = DELAY_MS;
        let address = free_address().map_err(|error| broken(&error))?;
        let (mut key, mut identity) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        system_random(&mut key)?;
        system_random(&mut identity)?;
        let config = shell::Config {
            key: SecretKey::from_bytes(*key),
            identity,
            listen: address,
            advertise: address,
            relay: false,
            replay_dir: None,
            replay_capacity: Capacity::default(),
            test_loss_percent: 0,
            directory: None,
            trace: Some(trace.to_owned()),
            reach: shell::Reach::default(),
            protection: Protection::of(&preset),
            preset,
            topology,
            seed: None,
            allow_private: true,
        };
        let (handle, mut events, task) = shell::spawn(config).map_err(|error| broken(&error))?;
        let events = tokio::spawn(async move { while events.recv().await.is_some() {} });
        let probe = Self {
            handle,
            events,
            task,
        };
        let end = Instant::now() + READY_WITHIN;
        while Instant::now() < end {
            let status = probe.handle.status().await;
            if status.is_some_and(|status| status.usable_relays >= status.needed) {
                return Ok(probe);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(broken(&"it finds no relays"))
    }

    pub(super) async fn stop(self) {
        self.handle.shutdown().await;
        // Both end with the node.
        let _ = tokio::join!(self.task, self.events);
    }
}

fn free_address() -> std::io::Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

fn broken(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Failed,
        "the probe does not run",
        why.to_string(),
        "run it again; report it if it comes back",
    )
}
