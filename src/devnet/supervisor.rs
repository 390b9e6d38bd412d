//! Starts everything, waits until it is ready, then serves operations until it is told to stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::children::{Ended, Running};
use super::control::{self, Incoming, Op, Request, Socket};
use super::layout::{self, Laid};
use super::plan::{Kind, Plan};
use super::scratch::fresh;
use super::{Event, Options, probe};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::shutdown::{STOP_WITHIN, Shutdown};

/// A devnet that is not ready by then never will be; a loaded machine of two cores needs a few seconds.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// How often a child is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A child that drains longer than it may is killed.
const CHILD_STOPS_WITHIN: Duration = STOP_WITHIN.saturating_add(Duration::from_secs(2));

/// Lines of a child's log that a failure shows.
const LOG_LINES: usize = 12;

/// Runs a devnet until a signal or the end of standard input. `report` is called for each event.
pub async fn run(options: &Options, report: &mut dyn FnMut(Event)) -> Result<(), Failure> {
    let plan = Plan::new(options)?;
    let home = Home::new(options.dir.as_deref())?;
    let laid = layout::lay(options, &plan, &home.path)?;
    let (send, incoming) = mpsc::channel(control::OPERATIONS_MAX);
    control::watch_input(send.clone());
    let _socket = Socket::open(&home.path, send)?;
    let shutdown = Shutdown::listen().map_err(|error| {
        Failure::new(
            Exit::Resources,
            "signals cannot be watched",
            error.to_string(),
            "check the limits",
        )
    })?;
    let (ended_send, ended) = mpsc::channel(laid.len().max(1));
    let (ready_send, ready) = mpsc::channel(laid.len().max(1));
    let children = laid.iter().map(|_| State::Down).collect();
    let tolerated = tolerated(options);
    let mut devnet = Devnet {
        laid,
        children,
        tolerated,
        ended_send,
        ended,
        ready_send,
        ready,
        incoming,
        shutdown,
        report,
    };
    let result = devnet.live(&home.path).await;
    devnet.stop().await;
    result
}

/// Causes that keep nodes from being ready because of the options, not because of a fault.
fn tolerated(options: &Options) -> Vec<&'static str> {
    let mut tolerated = Vec::new();
    if options.relays < mixnet::limits::RELAYS_NEEDED {
        tolerated.push("too_few_relays");
    }
    if options.bridges == 0 {
        tolerated.push("no_bridge");
    }
    tolerated
}

/// The directory of the devnet; one that nobody asked for is removed.
struct Home {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Home {
    fn new(dir: Option<&Path>) -> Result<Self, Failure> {
        let (path, temporary) = match dir {
            Some(dir) => (dir.to_owned(), None),
            None => {
                let temporary = fresh("ferry-devnet-")?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let path = std::path::absolute(&path)
            .map_err(|error| Failure::file(Exit::Config, "find", &path, &error))?;
        Ok(Self {
            path,
            _temporary: temporary,
        })
    }
}

/// What the supervisor knows about a child.
enum State {
    /// Not running.
    Down,
    /// Running.
    Up(Running),
    /// Somebody asked to kill it; its end is no news.
    Killing(Running),
    /// Somebody asked to start it again; it starts when it has ended.
    Restarting(Running, Vec<Answer>),
}

type Answer = Option<tokio::sync::oneshot::Sender<Result<u32, String>>>;

struct Devnet<'a> {
    laid: Vec<Laid>,
    children: Vec<State>,
    tolerated: Vec<&'static str>,
    ended_send: mpsc::Sender<Ended>,
    ended: mpsc::Receiver<Ended>,
    ready_send: mpsc::Sender<(usize, u32)>,
    ready: mpsc::Receiver<(usize, u32)>,
    incoming: mpsc::Receiver<Incoming>,
    shutdown: Shutdown,
    report: &'a mut dyn FnMut(Event),
}

impl Devnet<'_> {
    /// From the first child to the order to stop.
    async fn live(&mut self, dir: &Path) -> Result<(), Failure> {
        for index in 0..self.laid.len() {
            self.start(index)?;
        }
        if !self.wait_until_ready().await? {
            return Ok(());
        }
        let ready = self.ready_line(dir);
        (self.report)(Event::Ready(ready));
        loop {
            tokio::select! {
                reason = self.shutdown.next() => {
                    (self.report)(Event::Stopping { reason });
                    return Ok(());
                }
                Some(incoming) = self.incoming.recv() => match incoming {
                    Incoming::Request(request) => self.operate(request),
                    Incoming::Unreadable(why) => (self.report)(Event::Refused { why }),
                    Incoming::InputClosed => {
                        (self.report)(Event::Stopping { reason: "end of input" });
                        return Ok(());
                    }
                },
                Some(ended) = self.ended.recv() => self.note_end(ended),
                Some((index, pid)) = self.ready.recv() => {
                    if self.pid(index) == Some(pid) {
                        let name = self.laid[index].plan.name.clone();
                        (self.report)(Event::NodeReady { name, pid });
                    }
                }
            }
        }
    }

    /// Starts a child and lets its readiness be told to `ready`.
    fn start(&mut self, index: usize) -> Result<u32, Failure> {
        let running = Running::start(index, &mut self.laid[index], self.ended_send.clone())?;
        let pid = running.pid;
        self.children[index] = State::Up(running);
        let (api, send) = (self.laid[index].api(), self.ready_send.clone());
        let tolerated = self.tolerated.clone();
        tokio::spawn(async move {
            let deadline = Instant::now() + READY_WITHIN;
            while Instant::now() < deadline {
                let health = probe::get(api, "/v1/health").await;
                if health.is_ok_and(|health| probe::is_ready(&health, &tolerated)) {
                    let _ = send.send((index, pid)).await;
                    return;
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        Ok(pid)
    }

    /// True when every child is ready; false when somebody wants to stop before.
    async fn wait_until_ready(&mut self) -> Result<bool, Failure> {
        let deadline = tokio::time::sleep(READY_WITHIN);
        tokio::pin!(deadline);
        let mut waiting: Vec<usize> = (0..self.laid.len()).collect();
        while !waiting.is_empty() {
            tokio::select! {
                () = &mut deadline => return Err(self.not_ready(&waiting).await),
                reason = self.shutdown.next() => {
                    (self.report)(Event::Stopping { reason });
                    return Ok(false);
                }
                Some(ended) = self.ended.recv() => return Err(self.died_early(&ended)),
                Some((index, _)) = self.ready.recv() => waiting.retain(|other| *other != index),
                Some(incoming) = self.incoming.recv() => match incoming {
                    Incoming::InputClosed => {
                        (self.report)(Event::Stopping { reason: "end of input" });
                        return Ok(false);
                    }
                    Incoming::Unreadable(why) => (self.report)(Event::Refused { why }),
                    Incoming::Request(request) => {
                        let why = "the devnet is not ready yet".to_owned();
                        answer(request.answer, Err(why.clone()));
                        (self.report)(Event::Refused { why });
                    }
                },
            }
        }
        Ok(true)
    }

    async fn not_ready(&self, waiting: &[usize]) -> Failure {
        let mut lines = Vec::new();
        for index in waiting {
            let node = &self.laid[*index];
            let health = probe::get(node.api(), "/v1/health").await;
            let shown = health.map_or_else(
                |error| error.to_string(),
                |health| health["causes"].to_string(),
            );
            lines.push(format!("{}: {shown}", node.plan.name));
        }
        Failure::new(
            Exit::Failed,
            format!("the devnet is not ready after {} s", READY_WITHIN.as_secs()),
            lines.join("\n       "),
            "look at node.log of these nodes (with --dir they stay); is a --whisper-peer unreachable?",
        )
    }

    fn died_early(&self, ended: &Ended) -> Failure {
        let node = &self.laid[ended.index];
        let log = fs::read_to_string(node.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n       ");
        Failure::new(
            Exit::Failed,
            format!("{} died before the devnet was ready", node.plan.name),
            format!("{}; its last lines:\n       {tail}", ended.how),
            "correct what it says; with --dir the whole log stays",
        )
    }

    /// `{"event":"ready",…}` with every address of every node.
    fn ready_line(&self, dir: &Path) -> Value {
        let mut ready = json!({
            "event": "ready", "dir": dir, "pid": std::process::id(),
            "bridges": [], "edges": [], "relays": [], "mailboxes": [], "whisper": [],
        });
        for (index, node) in self.laid.iter().enumerate() {
            let mut about = json!(node.identity);
            if let Some(about) = about.as_object_mut() {
                about.retain(|_, value| !value.is_null());
                about.insert("name".to_owned(), json!(node.plan.name));
                about.insert("pid".to_owned(), json!(self.pid(index)));
                about.insert("dir".to_owned(), json!(node.dir));
                about.insert("log".to_owned(), json!(node.log()));
            }
            if let Some(group) = ready[node.plan.kind.group()].as_array_mut() {
                group.push(about);
            }
        }
        ready
    }

    fn pid(&self, index: usize) -> Option<u32> {
        match &self.children[index] {
            State::Down => None,
            State::Up(running) | State::Killing(running) | State::Restarting(running, _) => {
                Some(running.pid)
            }
        }
    }

    /// Kills or restarts a child.
    fn operate(&mut self, request: Request) {
        let Request {
            op,
            name,
            answer: waiting,
        } = request;
        let Some(index) = self.laid.iter().position(|node| node.plan.name == name) else {
            let why = format!("no node has the name {name:?}");
            answer(waiting, Err(why.clone()));
            (self.report)(Event::Refused { why });
            return;
        };
        match (
            op,
            std::mem::replace(&mut self.children[index], State::Down),
        ) {
            (Op::Kill, State::Down) => {
                let why = format!("{name} does not run");
                answer(waiting, Err(why.clone()));
                (self.report)(Event::Refused { why });
            }
            (Op::Kill, State::Up(running) | State::Killing(running)) => {
                running.kill();
                answer(waiting, Ok(running.pid));
                self.children[index] = State::Killing(running);
            }
            (Op::Kill, State::Restarting(running, answers)) => {
                running.kill();
                answer(waiting, Ok(running.pid));
                self.children[index] = State::Restarting(running, answers);
            }
            (Op::Restart, State::Down) => self.start_again(index, vec![waiting]),
            (Op::Restart, State::Up(mut running) | State::Killing(mut running)) => {
                running.stop();
                self.children[index] = State::Restarting(running, vec![waiting]);
            }
            (Op::Restart, State::Restarting(running, mut answers)) => {
                answers.push(waiting);
                self.children[index] = State::Restarting(running, answers);
            }
        }
    }

    fn start_again(&mut self, index: usize, answers: Vec<Answer>) {
        let started = self.start(index);
        let name = self.laid[index].plan.name.clone();
        let outcome = match started {
            Ok(pid) => {
                (self.report)(Event::Restarted { name, pid });
                Ok(pid)
            }
            Err(failure) => {
                (self.report)(Event::Refused {
                    why: failure.to_string(),
                });
                Err(failure.what)
            }
        };
        for waiting in answers {
            answer(waiting, outcome.clone());
        }
    }

    /// A child has ended: by itself, or because it was told to.
    fn note_end(&mut self, ended: Ended) {
        let Ended { index, pid, how } = ended;
        if self.pid(index) != Some(pid) {
            return;
        }
        let name = self.laid[index].plan.name.clone();
        match std::mem::replace(&mut self.children[index], State::Down) {
            State::Down => {}
            State::Up(_) => {
                let log = self.laid[index].log();
                (self.report)(Event::Died { name, how, log });
            }
            State::Killing(_) => (self.report)(Event::Killed { name }),
            State::Restarting(_, answers) => self.start_again(index, answers),
        }
    }

    /// Edges first, then bridges, relays and Whisper: whoever sends stops before whoever carries.
    async fn stop(&mut self) {
        for kind in Kind::ALL.into_iter().rev() {
            let deadline = Instant::now() + CHILD_STOPS_WITHIN;
            let members: Vec<usize> = (0..self.laid.len())
                .filter(|index| self.laid[*index].plan.kind == kind)
                .collect();
            for index in &members {
                self.ask_to_stop(*index);
            }
            while members.iter().any(|index| self.pid(*index).is_some()) {
                let forced = tokio::select! {
                    ended = self.ended.recv() => {
                        if let Some(ended) = ended && self.pid(ended.index) == Some(ended.pid) {
                            self.children[ended.index] = State::Down;
                        }
                        false
                    }
                    () = tokio::time::sleep_until(deadline) => true,
                    // A second signal: no more patience.
                    _ = self.shutdown.next() => true,
                };
                if forced {
                    self.kill_all().await;
                    break;
                }
            }
        }
        (self.report)(Event::Stopped);
    }

    fn ask_to_stop(&mut self, index: usize) {
        match &mut self.children[index] {
            State::Down => {}
            State::Up(running) | State::Killing(running) | State::Restarting(running, _) => {
                running.stop();
            }
        }
    }

    /// Kills whatever still runs and waits for its end.
    async fn kill_all(&mut self) {
        for state in &self.children {
            match state {
                State::Down => {}
                State::Up(running) | State::Killing(running) | State::Restarting(running, _) => {
                    running.kill();
                }
            }
        }
        while (0..self.laid.len()).any(|index| self.pid(index).is_some()) {
            let Some(ended) = self.ended.recv().await else {
                return;
            };
            if self.pid(ended.index) == Some(ended.pid) {
                self.children[ended.index] = State::Down;
            }
        }
    }
}

fn answer(waiting: Answer, outcome: Result<u32, String>) {
    if let Some(waiting) = waiting {
        // Whoever asked may have gone away.
        let _ = waiting.send(outcome);
    }
}
