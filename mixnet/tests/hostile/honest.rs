//! An honest neighbour in a process of its own: it sends itself packets through the relay and tells how long each took.
//!
//! ```text
//! one line of JSON a packet:  {"us": 81234}      at the end:  {"sent": 1234, "lost": 0}
//! ```

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use mixnet::{Address, Packet, Peeled, ReplayStore, build, peel};
use serde_json::{Value, json};

use super::net::{LONG, Net, ROGUE, Rogue, mix_key};
use super::process;

const ADDRESSES: &str = "FERRY_MIX_HONEST_ADDRESSES";
/// A packet is due so often: far below the rate of one neighbour.
const EVERY: Duration = Duration::from_millis(10);
/// Mean delay of its packets, that of the preset `fast`, milliseconds.
const DELAY_MS: u16 = 80;

/// The neighbour, seen from here.
pub(super) struct Honest {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
}

/// How long packets took.
pub(super) struct Latencies(Vec<Duration>);

impl Honest {
    pub(super) fn start(net: &Net) -> Self {
        let addresses: Vec<_> = net.addresses().iter().map(ToString::to_string).collect();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["honest_process", "--exact", "--nocapture"])
            .env(ADDRESSES, addresses.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let at = line.find('{');
                if let Some(Ok(value)) = at.map(|at| serde_json::from_str(&line[at..])) {
                    // Whoever listened may have gone.
                    let _ = sender.send(value);
                }
            }
        });
        Self {
            child,
            stdin,
            lines,
        }
    }

    /// What came until now is not asked for.
    pub(super) fn forget(&mut self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// What came until now, and at least so many.
    pub(super) fn collect(&mut self, count: usize) -> Latencies {
        let mut found = Latencies(Vec::new());
        while found.0.len() < count {
            let line = self.lines.recv_timeout(LONG).unwrap();
            found.0.extend(duration(&line));
        }
        found
            .0
            .extend(self.lines.try_iter().filter_map(|line| duration(&line)));
        found
    }

    /// Ends it; what it has sent, and what of that never came back.
    pub(super) fn stop(&mut self) -> (u64, u64) {
        self.stdin = None;
        loop {
            let line = self.lines.recv_timeout(LONG).unwrap();
            if let Some(sent) = line["sent"].as_u64() {
                return (sent, line["lost"].as_u64().unwrap());
            }
        }
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn duration(line: &Value) -> Option<Duration> {
    line["us"].as_u64().map(Duration::from_micros)
}

impl Latencies {
    fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * part).ceil() as usize;
        sorted[at.max(1) - 1]
    }

    pub(super) fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    pub(super) fn summary(&self) -> Value {
        let ms = |part| self.quantile(part).as_secs_f64() * 1000.0;
        json!({"count": self.0.len(), "p50_ms": ms(0.5), "p99_ms": ms(0.99), "max_ms": ms(1.0)})
    }
}

/// Is the neighbour if this process is to be one, and then never returns.
pub(super) fn serve_if_child() {
    let Ok(addresses) = env::var(ADDRESSES) else {
        return;
    };
    let addresses: Vec<_> = addresses.split(',').map(|at| at.parse().unwrap()).collect();
    let net = process::network(Some(&addresses));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (sent, lost) = runtime.block_on(send_until_told(&net));
    println!("{}", json!({"sent": sent, "lost": lost}));
    std::process::exit(0);
}

async fn send_until_told(net: &Net) -> (u64, u64) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().for_each(drop);
        let _ = stop.send(());
    });
    let mut rogue = Rogue::connect(net, 0).await;
    let mut received = rogue.take();
    let mut stream = rogue.open().await;
    let path = [net.hop(0), net.hop_at(rogue.peer)];
    let mut times: Vec<Instant> = Vec::new();
    let mut clock = tokio::time::interval(EVERY);
    let (mut open, mut running) = (0_u64, true);
    while running || open > 0 {
        tokio::select! {
            _ = clock.tick(), if running => {
                let mut message = Box::new([0; 3968]);
                message[..8].copy_from_slice(&(times.len() as u64).to_be_bytes());
                let secret: [u8; 32] = std::array::from_fn(|n| if n < 8 { message[n] } else { 7 });
                let packet = build(&path, &[DELAY_MS], &secret, &message, &Address::NONE).unwrap().0;
                let frame = [&[0x80, 0x24], &packet.as_bytes()[..]].concat();
                times.push(Instant::now());
                stream.write_all(&frame).await.unwrap();
                stream.flush().await.unwrap();
                open += 1;
            }
            Some(packet) = received.recv() => {
                let came = Instant::now();
                println!("{}", json!({"us": (came - times[number(&packet)]).as_micros() as u64}));
                open -= 1;
            }
            _ = &mut stopped, if running => running = false,
            // What does not come for so long will not come.
            () = tokio::time::sleep(LONG), if !running => break,
        }
    }
    (times.len() as u64, open)
}

/// Which packet it was.
fn number(packet: &[u8]) -> usize {
    let packet = Packet::from_slice(packet).unwrap();
    match peel(&mix_key(ROGUE), packet, &mut ReplayStore::new([0; 16])) {
        Ok(Peeled::Exit { message, .. }) => {
            u64::from_be_bytes(message[..8].try_into().unwrap()) as usize
        }
        other => panic!("not what was sent: {other:?}"),
    }
}
