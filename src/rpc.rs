//! JSON-RPC as `geth --shh` speaks it: HTTP, WebSocket and a unix socket.
//!
//! ```text
//! http ──────▶┐            ┌─▶ node: what the Whisper shell is asked for
//! websocket ─▶├─▶ talk ─▶ methods ─▶ workshop: sealing and mining
//! ipc ───────▶┘            └─▶ clients: keys, filters, boxes ◀─ intake ◀─ the network
//! ```
//!
//! | module | content |
//! |---|---|
//! | `methods` | the methods, by namespace; `argument`, `number`, `peer_url`, `error`: how they read and write |
//! | `talk` | one message and its answer: JSON-RPC as go-ethereum reads it, dispatched by `jsonrpsee` |
//! | `http`, `websocket`, `ipc` | the transports; `conversation`: what the lasting ones share; `json`: where a value ends |
//! | `guard` | Host, Origin, token |
//! | `clients`, `intake` | keys and filters of local clients, in a task of their own |
//! | `sealing` | messages into envelopes, bounded and cancellable |
//! | `node` | the Whisper node, as the methods see it |
//! | [`limits`] | every bound, with its reason |
//!
//! docs/rpc.md lists the methods and where they differ from go-ethereum's, with the reasons.

mod argument;
mod clients;
mod conversation;
mod error;
mod guard;
mod http;
mod intake;
mod ipc;
mod json;
pub mod limits;
mod methods;
mod node;
mod number;
mod peer_url;
mod sealing;
mod talk;
mod websocket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use legacy::enode::Enode;
use legacy::identity::NodeId;
use legacy::shell::Handle;
use legacy::shh::inbox::Inbox;
use legacy::shh::keyring::Keyring;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use self::clients::Clients;
use self::guard::Guard;
use self::methods::{Context, offer};
use self::node::Node;
use self::sealing::Workshop;
use self::talk::Numbers;
use crate::keyring::Vault;

pub use self::clients::Counted;
pub use self::intake::Intake;
pub use self::methods::Namespace;

/// Where clients are served, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// HTTP; none: off.
    pub http: Option<SocketAddr>,
    /// WebSocket; none: off. It may be the address of HTTP.
    pub ws: Option<SocketAddr>,
    /// The unix socket; none: off.
    pub ipc: Option<PathBuf>,
    /// What HTTP and WebSocket offer. The unix socket offers everything.
    pub namespaces: Vec<Namespace>,
    /// Names of this machine that a request may ask for; addresses always pass.
    pub hosts: Vec<String>,
    /// Origins of web pages that may open a WebSocket.
    pub origins: Vec<String>,
}

impl Config {
    /// Whether anything is served at all.
    pub const fn is_on(&self) -> bool {
        self.http.is_some() || self.ws.is_some() || self.ipc.is_some()
    }
}

/// An address that cannot be served.
#[derive(Debug)]
pub struct Closed {
    /// The key of the configuration: `http`, `ws` or `ipc`.
    pub key: &'static str,
    /// The address or the path.
    pub place: String,
    /// What the system says.
    pub source: io::Error,
}

/// Everything that is listened to, before anybody is served.
pub struct Doors {
    http: Option<TcpListener>,
    ws: Option<TcpListener>,
    ipc: Option<ipc::Socket>,
    shared: bool,
}

impl Doors {
    /// Opens all of them, or none.
    pub async fn open(config: &Config) -> Result<Self, Closed> {
        let shared = config.http.is_some() && config.http == config.ws;
        Ok(Self {
            http: listen("http", config.http).await?,
            ws: listen("ws", config.ws.filter(|_| !shared)).await?,
            ipc: config
                .ipc
                .as_ref()
                .map(|path| {
                    ipc::Socket::bind(path).map_err(|source| Closed {
                        key: "ipc",
                        place: path.display().to_string(),
                        source,
                    })
                })
                .transpose()?,
            shared,
        })
    }
}

async fn listen(
    key: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, Closed> {
    let Some(address) = address else {
        return Ok(None);
    };
    let closed = |source| Closed {
        key,
        place: address.to_string(),
        source,
    };
    TcpListener::bind(address).await.map(Some).map_err(closed)
}

/// What the methods tell about the node.
pub struct About {
    /// The running node.
    pub handle: Handle,
    /// Its id.
    pub id: NodeId,
    /// Its enode, if it listens.
    pub enode: Option<Enode>,
    /// Its signed record.
    pub record: Option<String>,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// What it calls itself.
    pub client_name: String,
    /// Its directory.
    pub datadir: PathBuf,
}

/// What local clients keep here.
pub struct Kept {
    /// Their keys.
    pub keyring: Keyring,
    /// Where these are kept on the disk, if they are.
    pub vault: Option<Vault>,
    /// Seeds the names of filters.
    pub seed: Zeroizing<[u8; 32]>,
}

/// The server at work. Dropped, it ends with every connection.
pub struct Server {
    tasks: JoinSet<()>,
    clients: Clients,
}

impl Server {
    /// Serves from now on. Must be called within a tokio runtime.
    pub fn start(
        config: &Config,
        doors: Doors,
        about: About,
        kept: Kept,
        token: Option<Zeroizing<String>>,
        intake: Intake,
    ) -> Self {
        let inbox = Inbox::new(*kept.seed);
        let clients = Clients::start(kept.keyring, inbox, kept.vault, intake);
        let datadir = about.datadir.clone();
        let workshop = Workshop::new(about.handle.clock().clone());
        let context = Arc::new(Context {
            node: Node::new(about),
            clients: clients.clone(),
            workshop,
            datadir,
        });
        let numbers = Numbers::default();
        let site = |calls, sockets| http::Site {
            methods: offer(&context, &config.namespaces),
            guard: Arc::new(Guard::new(&config.hosts, &config.origins, token.clone())),
            numbers: numbers.clone(),
            calls,
            sockets,
        };
        let mut tasks = JoinSet::new();
        if let Some(listener) = doors.http {
            tasks.spawn(http::serve(listener, site(true, doors.shared)));
        }
        if let Some(listener) = doors.ws {
            tasks.spawn(http::serve(listener, site(false, true)));
        }
        if let Some(socket) = doors.ipc {
            let methods = offer(&context, &Namespace::ALL);
            tasks.spawn(socket.serve(methods, numbers.clone()));
        }
        Self { tasks, clients }
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        self.clients.counted()
    }

    /// Ends every connection.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
