//! Every key of the configuration, once.

use std::fmt;

use ::mixnet::epoch::{EPOCH_SECONDS, EPOCH_SECONDS_MAX, EPOCH_SECONDS_MIN};
use ::mixnet::replay::PACKETS_PER_SECOND;

use crate::role::{Role, Roles};
use crate::rpc::Namespace;

/// The version that the key `config_version` names.
pub const CONFIG_VERSION: i64 = 1;

/// A value as the file holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Count(i64),
    /// A number with a fraction.
    Number(f64),
    /// A string.
    Text(String),
    /// A list of strings.
    List(Vec<String>),
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Value {
    /// As TOML writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Text(text) => {
                f.write_str(toml_edit::Value::from(text.as_str()).to_string().trim())
            }
            Self::List(list) => {
                let array: toml_edit::Array = list.iter().map(String::as_str).collect();
                f.write_str(toml_edit::Value::from(array).to_string().trim())
            }
        }
    }
}

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second.
    Count(i64, i64),
    /// A number from the first to the second.
    Number(f64, f64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A string; what it must say is checked when the settings are made.
    Text,
    /// A list of strings.
    List,
}

impl Form {
    /// For a sentence: `must be …`.
    pub fn describe(self) -> String {
        match self {
            Self::Flag => "true or false, without quotes".to_owned(),
            Self::Count(min, max) => format!("a whole number from {min} to {max}, without quotes"),
            Self::Number(min, max) => format!("a number from {min} to {max}, without quotes"),
            Self::Word(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("one of {}", words.join(", "))
            }
            Self::Text => "a string in quotes".to_owned(),
            Self::List => "a list of strings, such as [\"a\", \"b\"]".to_owned(),
        }
    }
}

/// One key.
pub struct Key {
    /// The section that it stands in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What its value must look like.
    pub form: Form,
    /// Its value when nobody sets it; it depends on the roles only.
    pub default: fn(&Roles) -> Value,
    /// One line: what it is for.
    pub why: &'static str,
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!(
            "FERRY_{}_{}",
            self.section.to_uppercase(),
            self.name.to_uppercase()
        )
    }
}

/// The ports of one node. Without a base they are the customary ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// devp2p, TCP.
    pub whisper: u16,
    /// libp2p, TCP.
    pub mix: u16,
    /// HTTP.
    pub api: u16,
    /// JSON-RPC over HTTP.
    pub rpc_http: u16,
    /// JSON-RPC over WebSocket.
    pub rpc_ws: u16,
}

impl Ports {
    /// The customary ones.
    pub const DEFAULT: Self = Self {
        whisper: 30303,
        mix: 60000,
        api: 8645,
        rpc_http: 8545,
        rpc_ws: 8546,
    };

    /// Ports that a node takes from its base on; the rest of the ten is kept for what comes later
    /// (QUIC).
    pub const RESERVED: u16 = 10;

    /// All ports from `base` on.
    pub fn from_base(base: u16) -> Option<Self> {
        base.checked_add(Self::RESERVED - 1)?;
        (base > 0).then_some(Self {
            whisper: base,
            mix: base + 1,
            api: base + 2,
            rpc_http: base + 3,
            rpc_ws: base + 4,
        })
    }
}

/// Where a node with these roles and ports listens: the values of `whisper.listen`, `mix.listen`
/// and `api.listen`. What serves others binds every address, the rest loopback or nothing.
pub fn listen(roles: &Roles, ports: Ports) -> [Value; 3] {
    let public = |port| Value::Text(format!("0.0.0.0:{port}"));
    let private = |port| Value::Text(format!("127.0.0.1:{port}"));
    let whisper = match (roles.speaks_whisper(), roles.has(Role::Edge)) {
        (false, _) => Value::text(""),
        (true, true) => private(ports.whisper),
        (true, false) => public(ports.whisper),
    };
    let mix = match (roles.speaks_mix(), roles.is_called()) {
        (false, _) => Value::text(""),
        (true, true) => public(ports.mix),
        (true, false) => private(ports.mix),
    };
    [whisper, mix, private(ports.api)]
}

/// Where a node with these roles and ports serves JSON-RPC: the values of `rpc.http`, `rpc.ws` and
/// `rpc.ipc`. A plain Whisper node does so where `geth --shh` did; the others where somebody asks.
pub fn rpc(roles: &Roles, ports: Ports) -> [Value; 3] {
    if !roles.has(Role::Whisper) {
        return [Value::text(""), Value::text(""), Value::text("")];
    }
    let private = |port| Value::Text(format!("127.0.0.1:{port}"));
    [
        private(ports.rpc_http),
        private(ports.rpc_ws),
        Value::text("ferry.ipc"),
    ]
}

/// The preset that fits what the node does: one clock for many users, none, or a person's.
fn preset(roles: &Roles) -> Value {
    Value::text(match (roles.has(Role::Bridge), roles.has(Role::Edge)) {
        (true, _) => "service",
        (false, true) => "fast",
        (false, false) => "relay",
    })
}

/// Sections in the order of the file, each with one line about it.
pub const SECTIONS: &[(&str, &str)] = &[
    ("node", "What this node is."),
    (
        "whisper",
        "devp2p and Whisper v6: an edge's local client, or the Whisper network.",
    ),
    (
        "mailserver",
        "Envelopes for clients that were away: only for role whisper.",
    ),
    (
        "mix",
        "The mixnet: edge, bridge, relay and mailbox take part in it.",
    ),
    ("bridge", "Only for role bridge."),
    ("mailbox", "Only for role mailbox."),
    ("edge", "Only for role edge."),
    (
        "api",
        "The HTTP API: health, peers, the life of a message, metrics.",
    ),
    (
        "rpc",
        "JSON-RPC for local clients, as `geth --shh` spoke it. docs/rpc.md lists the methods.",
    ),
    ("log", "What is written to standard error."),
];

/// The delay of another preset for a class of messages; empty: that of the node's own.
const OF_ANOTHER_PRESET: Form =
    Form::Word(&["", "fast", "normal", "mobile", "mobile-saver", "high"]);

/// Every key, in the order of the file.
pub const KEYS: &[Key] = &[
    Key {
        section: "node",
        name: "roles",
        form: Form::List,
        default: |roles| Value::List(roles.iter().map(|role| role.to_string()).collect()),
        why: "The parts that it takes. Keys and database belong to them: make a new directory to change them.",
    },
    Key {
        section: "whisper",
        name: "listen",
        form: Form::Text,
        default: |roles| listen(roles, Ports::DEFAULT)[0].clone(),
        why: "Address for Whisper peers (TCP). An edge stays on loopback: only its own client may use it. Empty: dial only.",
    },
    Key {
        section: "whisper",
        name: "advertise",
        form: Form::Text,
        default: |_| Value::text(""),
        why: "IP address that the enode names. Empty: the listening address, or this machine's own.",
    },
    Key {
        section: "whisper",
        name: "static_peers",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "Enodes to stay connected to. They are outside every limit and are dialled again for ever.",
    },
    Key {
        section: "whisper",
        name: "discovery",
        form: Form::Word(&["auto", "yes", "no"]),
        default: |_| Value::text("auto"),
        why: "Find peers by discv4, over UDP at the port of `listen`. auto: role whisper or bridge, where `listen` is not loopback.",
    },
    Key {
        section: "whisper",
        name: "bootnodes",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "Enodes or node records (enr:…) from which discovery starts. Without any, only what the last run knew.",
    },
    Key {
        section: "whisper",
        name: "nat",
        form: Form::Text,
        default: |_| Value::text("none"),
        why: "How peers get through your router: none, upnp, pmp (PCP or NAT-PMP), any, or extip: and its outer IP address.",
    },
    Key {
        section: "whisper",
        name: "min_pow",
        form: Form::Number(0.0, 1000.0),
        default: |_| Value::Number(0.001),
        why: "Envelopes below this proof of work are refused. Status clients send 0.002; a clock that is behind sees less of it.",
    },
    Key {
        section: "whisper",
        name: "max_peers",
        form: Form::Count(1, 1000),
        default: |_| Value::Count(125),
        why: "Strangers that are connected at once, static and trusted peers apart: bounds memory and file descriptors.",
    },
    Key {
        section: "whisper",
        name: "dial_ratio",
        form: Form::Count(1, 1000),
        default: |_| Value::Count(5),
        why: "One in so many of these strangers is one that discovery found and this node dialled; the others dialled it.",
    },
    Key {
        section: "whisper",
        name: "trusted_peers",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "Enodes of peers that come in although there is no room, and are never banned. They are not dialled for that.",
    },
    Key {
        section: "whisper",
        name: "ban_minutes",
        form: Form::Count(0, 10_080),
        default: |_| Value::Count(60),
        why: "A peer that breaks rules again and again is kept out for so many minutes, and its public address too. 0: nobody is.",
    },
    Key {
        section: "whisper",
        name: "max_message_size",
        form: Form::Count(1024, 10 * 1024 * 1024),
        default: |_| Value::Count(1024 * 1024),
        why: "Largest envelope in bytes, as all of Whisper counts it. What is larger than the default few peers take.",
    },
    Key {
        section: "whisper",
        name: "confirmations",
        form: Form::Flag,
        default: |_| Value::Flag(true),
        why: "Confirm what Status clients send; without it they show their messages as not sent.",
    },
    Key {
        section: "whisper",
        name: "accept_old_pow",
        form: Form::Flag,
        default: |_| Value::Flag(false),
        why: "Also take the proof of work of clients before October 2019. It is passed on only where it holds by today's rule.",
    },
    Key {
        section: "whisper",
        name: "rate_limit_peer",
        form: Form::Count(0, 1_000_000),
        default: |_| Value::Count(50),
        why: "Packets per second from one peer; static peers have no limit. The busiest honest ones send 12. 0: none.",
    },
    Key {
        section: "whisper",
        name: "rate_limit_ip",
        form: Form::Count(0, 1_000_000),
        default: |_| Value::Count(200),
        why: "The same from all peers behind one address. 0: none.",
    },
    Key {
        section: "mailserver",
        name: "enabled",
        form: Form::Flag,
        default: |_| Value::Flag(false),
        why: "Keep every envelope and hand it to clients that were away, as statusd does. Only for role whisper.",
    },
    Key {
        section: "mailserver",
        name: "password",
        form: Form::Text,
        default: |_| Value::text("status-offline-inbox"),
        why: "What encrypted requests are sealed with; the default is what every Status client uses. Empty: only requests to this node's key.",
    },
    Key {
        section: "mailserver",
        name: "plain",
        form: Form::Flag,
        default: |_| Value::Flag(true),
        why: "Also serve requests in clear, which newer Status clients send.",
    },
    Key {
        section: "mailserver",
        name: "retention_days",
        form: Form::Count(1, 3650),
        default: |_| Value::Count(30),
        why: "How long envelopes are kept.",
    },
    Key {
        section: "mailserver",
        name: "max_bytes",
        form: Form::Count(1 << 20, 1 << 50),
        default: |_| Value::Count(4 << 30),
        why: "Bytes that they may take on the disk; the oldest go first.",
    },
    Key {
        section: "mailserver",
        name: "rate_limit_seconds",
        form: Form::Count(0, 3600),
        default: |_| Value::Count(0),
        why: "One request of a client in so many seconds. 0: no such limit; what a client gets is bounded in any case.",
    },
    Key {
        section: "mailserver",
        name: "range_max_hours",
        form: Form::Count(0, 87600),
        default: |_| Value::Count(0),
        why: "Longest time that one request may cover. 0: no such limit.",
    },
    Key {
        section: "mailserver",
        name: "sync_from",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "Enodes of mailservers to stay connected to and to copy from. They are trusted to send us mail.",
    },
    Key {
        section: "mailserver",
        name: "sync_with",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "Enodes of mailservers that may copy from this one.",
    },
    Key {
        section: "mix",
        name: "listen",
        form: Form::Text,
        default: |roles| listen(roles, Ports::DEFAULT)[1].clone(),
        why: "IPv4 address for the mixnet: TCP, and QUIC on the UDP port of the same number. An edge is reached over the connections that it keeps.",
    },
    Key {
        section: "mix",
        name: "advertise",
        form: Form::Text,
        default: |_| Value::text(""),
        why: "IPv4 address (or address:port) that the descriptor names. Empty: the listening one, or this machine's own.",
    },
    Key {
        section: "mix",
        name: "quic",
        form: Form::Flag,
        default: |_| Value::Flag(true),
        why: "Listen for QUIC as well, and dial it where TCP does not get through.",
    },
    Key {
        section: "mix",
        name: "also_listen",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "More addresses to listen on: \"/ip6/::/tcp/60000\", \"/ip6/::/udp/60000/quic-v1\", \"/ip4/127.0.0.1/tcp/60001/ws\" (WebSocket, for browsers behind a proxy with TLS). The descriptor names up to four of them: TCP and QUIC at addresses of their own.",
    },
    Key {
        section: "mix",
        name: "peers",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "More addresses of nodes in the relay list, each as \"/ip6/2001:db8::1/tcp/60000/p2p/16Uiu2…\".",
    },
    Key {
        section: "mix",
        name: "nat",
        form: Form::Flag,
        default: |_| Value::Flag(false),
        why: "For a relay, bridge or mailbox behind a router that lets nobody in: ask relays whether they can dial it; if not, be found on their circuits and punch holes. An edge needs it not.",
    },
    Key {
        section: "mix",
        name: "circuit_relay",
        form: Form::Flag,
        default: |roles| Value::Flag(roles.has(Role::Relay)),
        why: "Help nodes behind routers: dial them back when they ask, and relay the few kilobytes with which two of them arrange a direct connection. Off where nat is on.",
    },
    Key {
        section: "mix",
        name: "light",
        form: Form::Flag,
        default: |_| Value::Flag(false),
        why: "For a phone: four kept connections over TCP, and a sign of life every two minutes. Not for relays, bridges and mailboxes.",
    },
    Key {
        section: "mix",
        name: "preset",
        form: Form::Word(&[
            "fast",
            "normal",
            "mobile",
            "mobile-saver",
            "high",
            "service",
            "relay",
        ]),
        default: preset,
        why: "How often packets leave and how long they rest: users of one preset form one crowd. See docs/threat-model.md.",
    },
    Key {
        section: "mix",
        name: "interactive",
        form: OF_ANOTHER_PRESET,
        default: |_| Value::text(""),
        why: "Preset whose delay a short message has that somebody waits for. Empty: that of `preset`. The clock stays that of `preset`.",
    },
    Key {
        section: "mix",
        name: "bulk",
        form: OF_ANOTHER_PRESET,
        default: |_| Value::text(""),
        why: "The same for a message of more than 8 packets.",
    },
    Key {
        section: "mix",
        name: "background",
        form: OF_ANOTHER_PRESET,
        default: |_| Value::text(""),
        why: "The same for what prepares for later, such as stocks of reply blocks.",
    },
    Key {
        section: "mix",
        name: "replies",
        form: OF_ANOTHER_PRESET,
        default: |_| Value::text(""),
        why: "The same for what others send to this node through its reply blocks.",
    },
    Key {
        section: "mix",
        name: "twice",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "Classes (interactive, bulk, background) whose packets are sent twice, over paths without a common relay: half the speed, less loss.",
    },
    Key {
        section: "mix",
        name: "low_traffic",
        form: Form::Word(&["warn", "adapt", "refuse"]),
        default: |_| Value::text("warn"),
        why: "When fewer than 8 packets rest at a relay with one of yours: warn, adapt (longer delays until it is enough), or refuse to send.",
    },
    Key {
        section: "mix",
        name: "strict",
        form: Form::Flag,
        default: |_| Value::Flag(false),
        why: "Refuse messages that cannot have the protection chosen here; otherwise they leave with less, and health says so.",
    },
    Key {
        section: "mix",
        name: "topology",
        form: Form::Text,
        default: |_| Value::text("topology.json"),
        why: "Signed descriptors, as `ferry id` prints them, in one JSON array: the relay list, or where to begin. Relative to this \
              directory.",
    },
    Key {
        section: "mix",
        name: "directory",
        form: Form::Word(&["file", "gossip"]),
        default: |_| Value::text("file"),
        why: "file: the network is what mix.topology says, and mix keys stay. gossip: any one descriptor in it leads to all nodes, and \
              mix keys change with the epochs. The same in the whole network.",
    },
    Key {
        section: "mix",
        name: "epoch_seconds",
        form: Form::Count(EPOCH_SECONDS_MIN as i64, EPOCH_SECONDS_MAX as i64),
        default: |_| Value::Count(EPOCH_SECONDS.into()),
        why: "With gossip: how long a mix key is used. Another value than the default makes a network of its own.",
    },
    Key {
        section: "mix",
        name: "capacity",
        form: Form::Count(1, 5_000),
        default: |_| Value::Count(i64::from(PACKETS_PER_SECOND)),
        why: "Packets a second that a relay takes for long. Its table of seen packets grows to 0.2 MB at most for each of them, for each of \
              two keys (20 MB at 100, 590 MB at 3000); a full table refuses what is new until the key changes.",
    },
    Key {
        section: "mix",
        name: "test_loss_percent",
        form: Form::Count(0, 90),
        default: |_| Value::Count(0),
        why: "For tests: loses so many of a hundred packets from neighbours on purpose. Only where mix.listen is loopback.",
    },
    Key {
        section: "mix",
        name: "private_network",
        form: Form::Word(&["auto", "yes", "no"]),
        default: |_| Value::text("auto"),
        why: "Whether packets may go to loopback and private addresses. auto: only if this node has such an address itself.",
    },
    Key {
        section: "mix",
        name: "trace_file",
        form: Form::Text,
        default: |_| Value::text(""),
        why: "Measuring only: a file for when every packet passed. An adversary would want it, so it is refused off loopback. Empty: none.",
    },
    Key {
        section: "bridge",
        name: "reseal",
        form: Form::Flag,
        default: |_| Value::Flag(true),
        why: "Seal a post anew (proof of work) when it expired on its way through the mixnet, instead of refusing it.",
    },
    Key {
        section: "bridge",
        name: "mailbox_after_seconds",
        form: Form::Count(0, 86_400),
        default: |_| Value::Count(300),
        why: "What an edge that is silent for so long is owed is left for it in mailboxes. An edge that is there pings every half minute. 0: never.",
    },
    Key {
        section: "mailbox",
        name: "max_bytes",
        form: Form::Count(1024 * 1024, 64 << 30),
        default: |_| Value::Count(512 << 20),
        why: "Bytes of the cells that are kept, for 7 days each; when they are reached, new ones are refused. One in sixteen of them in four hours.",
    },
    Key {
        section: "edge",
        name: "bridge",
        form: Form::Text,
        default: |_| Value::text(""),
        why: "Which bridge to use: the start of the field peer of its descriptor. Empty: one of the relay list.",
    },
    Key {
        section: "edge",
        name: "hints",
        form: Form::List,
        default: |_| Value::List(vec![]),
        why: "Chat names and public keys (0x04…) of yours: their topics explain bloom bits, so that less is fetched.",
    },
    Key {
        section: "edge",
        name: "follow_all",
        form: Form::Flag,
        default: |_| Value::Flag(false),
        why: "Follow all of Whisper while the client names no topics (a full bloom filter): much traffic.",
    },
    Key {
        section: "edge",
        name: "max_share",
        form: Form::Number(0.0, 1.0),
        default: |_| Value::Number(1.0),
        why: "Largest part of Whisper to follow. What is left out is named in a warning.",
    },
    Key {
        section: "edge",
        name: "window",
        form: Form::Word(&["connected", "active", "manual"]),
        default: |_| Value::text("connected"),
        why: "Full rate while a client is connected; or active: connected and busy in the last 10 minutes; or manual: only by `ferry window`.",
    },
    Key {
        section: "edge",
        name: "mode",
        form: Form::Word(&["batch", "interactive"]),
        default: |_| Value::text("batch"),
        why: "batch brings messages in one way; interactive offers them first: slower, and cheaper when most are known.",
    },
    Key {
        section: "edge",
        name: "block_low",
        form: Form::Count(1, 5000),
        default: |_| Value::Count(36),
        why: "Reply blocks at the bridge below which the edge sends more. Each pays for one packet back.",
    },
    Key {
        section: "edge",
        name: "block_high",
        form: Form::Count(2, 5000),
        default: |_| Value::Count(56),
        why: "Reply blocks at the bridge after a top-up.",
    },
    Key {
        section: "api",
        name: "listen",
        form: Form::Text,
        default: |roles| listen(roles, Ports::DEFAULT)[2].clone(),
        why: "Loopback address only: the API has no password in this version.",
    },
    Key {
        section: "rpc",
        name: "http",
        form: Form::Text,
        default: |roles| rpc(roles, Ports::DEFAULT)[0].clone(),
        why: "Address for JSON-RPC over HTTP; beyond loopback it needs a token_file. Empty: off.",
    },
    Key {
        section: "rpc",
        name: "ws",
        form: Form::Text,
        default: |roles| rpc(roles, Ports::DEFAULT)[1].clone(),
        why: "Address for JSON-RPC over WebSocket, with subscriptions; it may be that of http. Empty: off.",
    },
    Key {
        section: "rpc",
        name: "ipc",
        form: Form::Text,
        default: |roles| rpc(roles, Ports::DEFAULT)[2].clone(),
        why: "Unix socket for the user of this node alone, relative to this directory; it offers every module. Empty: off.",
    },
    Key {
        section: "rpc",
        name: "modules",
        form: Form::List,
        default: |_| {
            let names = Namespace::ALL.map(|namespace| namespace.as_str().to_owned());
            Value::List(names.into())
        },
        why: "What HTTP and WebSocket offer: admin, net, shh, web3. Whoever reaches them has every key that shh holds.",
    },
    Key {
        section: "rpc",
        name: "hosts",
        form: Form::List,
        default: |_| Value::List(vec!["localhost".to_owned()]),
        why: "Names of this machine that a request may ask for; IP addresses always pass. \"*\": any, and web pages get in.",
    },
    Key {
        section: "rpc",
        name: "origins",
        form: Form::List,
        default: |_| Value::List(vec!["http://localhost".to_owned()]),
        why: "Origins of web pages that may open a WebSocket. Programs other than browsers send none and pass.",
    },
    Key {
        section: "rpc",
        name: "token_file",
        form: Form::Text,
        default: |_| Value::text(""),
        why: "File with the token that HTTP and WebSocket ask for (Authorization: Bearer); made if it is not there. Empty: none.",
    },
    Key {
        section: "rpc",
        name: "keep_keys",
        form: Form::Flag,
        default: |_| Value::Flag(false),
        why: "Keep keys that clients make through JSON-RPC, encrypted, in clients.keys; otherwise they end with the node.",
    },
    Key {
        section: "rpc",
        name: "password_file",
        form: Form::Text,
        default: |_| Value::text(""),
        why: "File with the password for clients.keys, private to the user of this node. keep_keys needs it.",
    },
    Key {
        section: "log",
        name: "level",
        form: Form::Text,
        default: |_| Value::text("info"),
        why: "error, warn, info, debug or trace; also per part: \"info,legacy=debug\". No level below debug shows ids or topics.",
    },
    Key {
        section: "log",
        name: "format",
        form: Form::Word(&["text", "json"]),
        default: |_| Value::text("text"),
        why: "text for people, json for machines: one object per line.",
    },
];

/// The key of this section and name.
pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.section == section && key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_listed_twice_and_each_section_is_described() {
        for (index, key) in KEYS.iter().enumerate() {
            let again = KEYS
                .iter()
                .skip(index + 1)
                .find(|k| (k.section, k.name) == (key.section, key.name));
            assert!(again.is_none(), "{}.{}", key.section, key.name);
            assert!(
                SECTIONS.iter().any(|(name, _)| *name == key.section),
                "{}",
                key.section
            );
            assert!(!key.why.contains('\n'), "{}.{}", key.section, key.name);
        }
    }

    #[test]
    fn an_edge_listens_on_loopback_only() {
        let edge: Roles = "edge".parse().unwrap();
        for value in listen(&edge, Ports::DEFAULT) {
            assert!(value.to_string().contains("127.0.0.1"), "{value}");
        }
        let relay: Roles = "relay".parse().unwrap();
        assert_eq!(listen(&relay, Ports::DEFAULT)[0], Value::text(""));
        assert_eq!(
            listen(&relay, Ports::DEFAULT)[1],
            Value::text("0.0.0.0:60000")
        );
    }

    #[test]
    fn a_base_leaves_room_for_all_ports() {
        assert_eq!(
            Ports::from_base(41000),
            Some(Ports {
                whisper: 41000,
                mix: 41001,
                api: 41002,
                rpc_http: 41003,
                rpc_ws: 41004,
            })
        );
        assert_eq!(Ports::from_base(65530), None);
        assert_eq!(Ports::from_base(0), None);
    }
}
