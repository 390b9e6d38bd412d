//! The checked configuration, typed. What is in a [`Settings`] can be used as it is.

mod mix;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use legacy::shell::NatPolicy;

pub use self::mix::{Mix, PrivateNetwork};
use super::check::{ConfigError, Origin, Values};
use super::schema::{self, Value};
use crate::role::{Role, Roles};
use crate::rpc::Namespace;

/// Everything that a node needs to know before it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Section `node`.
    pub node: Node,
    /// Section `whisper`.
    pub whisper: Whisper,
    /// Section `mailserver`.
    pub mailserver: Mailserver,
    /// Section `mix`.
    pub mix: Mix,
    /// Section `bridge`.
    pub bridge: Bridge,
    /// Section `mailbox`.
    pub mailbox: Mailbox,
    /// Section `edge`.
    pub edge: Edge,
    /// Section `api`.
    pub api: Api,
    /// Section `rpc`.
    pub rpc: Rpc,
    /// Section `log`.
    pub log: Log,
}

/// What the node is.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The parts that it takes.
    pub roles: Roles,
    /// Seeds every random clock of the node, for devnets that repeat; never set in a file.
    pub seed: Option<u64>,
}

/// devp2p and Whisper.
#[derive(Debug, Clone, PartialEq)]
pub struct Whisper {
    /// Where it listens; none: it only dials.
    pub listen: Option<SocketAddr>,
    /// The address of the enode, if it is not the listening one.
    pub advertise: Option<IpAddr>,
    /// Enodes to stay connected to.
    pub static_peers: Vec<String>,
    /// Find peers by discv4.
    pub discovery: bool,
    /// Enodes or node records from which discovery starts.
    pub bootnodes: Vec<String>,
    /// How peers get through a router.
    pub nat: NatPolicy,
    /// The least proof of work that is accepted.
    pub min_pow: f64,
    /// Strangers at once, static and trusted peers apart.
    pub max_peers: u16,
    /// One in so many strangers is dialled.
    pub dial_ratio: u16,
    /// Enodes that come in although there is no room.
    pub trusted_peers: Vec<String>,
    /// How long a ban lasts, in minutes.
    pub ban_minutes: u16,
    /// Largest envelope, in bytes.
    pub max_message_size: u32,
    /// Whether bundles are confirmed.
    pub confirmations: bool,
    /// Whether the proof of work before geth 1.9 suffices.
    pub accept_old_pow: bool,
    /// Packets per second from one peer; 0: no limit.
    pub rate_limit_peer: u32,
    /// Packets per second from one address; 0: no limit.
    pub rate_limit_ip: u32,
}

/// The mailserver.
#[derive(Clone, PartialEq)]
pub struct Mailserver {
    /// Whether there is one.
    pub enabled: bool,
    /// What encrypted requests are sealed with; none: only this node's key.
    pub password: Option<String>,
    /// Serve requests in clear too.
    pub plain: bool,
    /// How long envelopes are kept.
    pub retention_days: u16,
    /// Bytes that they may take.
    pub max_bytes: u64,
    /// Seconds between two requests of a client; 0: no such limit.
    pub rate_limit_seconds: u16,
    /// Hours that one request may cover; none: no such limit.
    pub range_max_hours: Option<u32>,
    /// Enodes of servers to copy from.
    pub sync_from: Vec<String>,
    /// Enodes of servers that may copy from us.
    pub sync_with: Vec<String>,
}

impl std::fmt::Debug for Mailserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailserver")
            .field("enabled", &self.enabled)
            .field("plain", &self.plain)
            .finish_non_exhaustive()
    }
}

/// The bridge.
#[derive(Debug, Clone, PartialEq)]
pub struct Bridge {
    /// Seal expired posts anew.
    pub reseal: bool,
    /// After so much silence an edge is served by mailboxes, seconds; 0: never.
    pub mailbox_after_seconds: u32,
}

/// The mailbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Mailbox {
    /// Bytes of the cells that are kept.
    pub max_bytes: u64,
}

/// The edge.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Start of the hexadecimal peer key of the bridge to use; none: any.
    pub bridge: Option<String>,
    /// Chat names and public keys of the user.
    pub hints: Vec<String>,
    /// Follow all of Whisper while the client names no topics.
    pub follow_all: bool,
    /// Largest part of Whisper to follow, 0 to 1.
    pub max_share: f64,
    /// When the window of the preset is open.
    pub window: WindowRule,
    /// How messages are synchronised.
    pub mode: SyncMode,
    /// Reply blocks below which more are sent.
    pub block_low: u16,
    /// Reply blocks after a top-up.
    pub block_high: u16,
}

/// When the window of an edge is open, beside the steps that its user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowRule {
    /// While a local client is connected.
    Connected,
    /// While a local client is connected and has done something lately.
    Active,
    /// Only when the user asks.
    Manual,
}

/// How an edge synchronises messages with its bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Messages come at once.
    Batch,
    /// Messages are offered first.
    Interactive,
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    /// A loopback address.
    pub listen: SocketAddr,
}

/// JSON-RPC for local clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Rpc {
    /// Where it is served, and what.
    pub serve: crate::rpc::Config,
    /// The token that every request over HTTP and WebSocket must carry.
    pub token_file: Option<PathBuf>,
    /// The password of the kept keys; none: keys are not kept.
    pub keys_password_file: Option<PathBuf>,
}

/// The log.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// A filter as `tracing` reads it.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// Types the values; relative paths start at `directory`.
    pub fn from_values(values: &Values, directory: &Path) -> Result<Self, Vec<ConfigError>> {
        let mut read = Reader {
            values,
            errors: Vec::new(),
        };
        let settings = read.settings(directory);
        match settings {
            Some(settings) if read.errors.is_empty() => Ok(settings),
            _ => Err(read.errors),
        }
    }
}

/// Reads one key after the other and collects what is wrong.
struct Reader<'a> {
    values: &'a Values,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn settings(&mut self, directory: &Path) -> Option<Settings> {
        let roles = self.parsed_list("node", "roles", |names| {
            Roles::from_names(names.iter().map(String::as_str))
        });
        let whisper = self.whisper(roles.as_ref());
        let mailserver = self.mailserver();
        let mix = self.mix(directory, roles.as_ref());
        let edge = self.edge();
        let reseal = self.flag("bridge", "reseal");
        let api = self.parsed("api", "listen", loopback);
        let rpc = self.rpc(directory);
        let level = self.parsed("log", "level", log_level);
        let format = match self.text("log", "format").as_str() {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        };
        let roles = roles?;
        let (whisper, mix, rpc) = (whisper?, mix?, rpc?);
        let mailserver = mailserver?;
        self.needs(&roles, &whisper, &mix);
        if rpc.serve.is_on() && !roles.speaks_whisper() {
            let why = "the roles of this node do not speak Whisper, so there is nothing to serve";
            self.wrong(
                "rpc",
                "http",
                format!("{why}; leave http, ws and ipc empty"),
            );
        }
        if mailserver.enabled && !roles.has(Role::Whisper) {
            let why = "only a node of role whisper is a mailserver for others; an edge is one for its own client anyway";
            self.wrong("mailserver", "enabled", why.to_owned());
        }
        Some(Settings {
            node: Node { roles, seed: None },
            whisper,
            mailserver,
            mix,
            bridge: Bridge {
                reseal,
                mailbox_after_seconds: self.count32("bridge", "mailbox_after_seconds"),
            },
            mailbox: Mailbox {
                max_bytes: self.large("mailbox", "max_bytes"),
            },
            edge: edge?,
            api: Api { listen: api? },
            rpc,
            log: Log {
                level: level?,
                format,
            },
        })
    }

    fn whisper(&mut self, roles: Option<&Roles>) -> Option<Whisper> {
        let listen = self.parsed("whisper", "listen", optional(socket));
        let advertise = self.parsed("whisper", "advertise", optional(ip));
        let static_peers = self.parsed_list("whisper", "static_peers", enodes);
        let trusted_peers = self.parsed_list("whisper", "trusted_peers", enodes);
        let bootnodes = self.parsed_list("whisper", "bootnodes", bootnodes);
        let nat = self.parsed("whisper", "nat", |text| {
            text.parse::<NatPolicy>()
                .map_err(|why| format!("{text:?}: {why}"))
        });
        let (listen, nat) = (listen?, nat?);
        let is_public = listen.is_some_and(|address: SocketAddr| !address.ip().is_loopback());
        let serves = roles.is_some_and(|roles| {
            !roles.has(Role::Edge) && (roles.has(Role::Whisper) || roles.has(Role::Bridge))
        });
        let discovery = match self.text("whisper", "discovery").as_str() {
            "yes" => true,
            "no" => false,
            _ => is_public && serves,
        };
        let arranged = match nat {
            NatPolicy::External(ip) => Some(ip),
            NatPolicy::None | NatPolicy::Upnp | NatPolicy::Pmp | NatPolicy::Any => None,
        };
        Some(Whisper {
            listen,
            advertise: advertise?.or(arranged),
            static_peers: static_peers?,
            discovery,
            bootnodes: bootnodes?,
            nat,
            min_pow: self.number("whisper", "min_pow"),
            max_peers: self.count("whisper", "max_peers"),
            dial_ratio: self.count("whisper", "dial_ratio"),
            trusted_peers: trusted_peers?,
            ban_minutes: self.count("whisper", "ban_minutes"),
            max_message_size: self.count32("whisper", "max_message_size"),
            confirmations: self.flag("whisper", "confirmations"),
            accept_old_pow: self.flag("whisper", "accept_old_pow"),
            rate_limit_peer: self.count32("whisper", "rate_limit_peer"),
            rate_limit_ip: self.count32("whisper", "rate_limit_ip"),
        })
    }

    fn mailserver(&mut self) -> Option<Mailserver> {
        let sync_from = self.parsed_list("mailserver", "sync_from", enodes);
        let sync_with = self.parsed_list("mailserver", "sync_with", enodes);
        let hours = u32::try_from(self.large("mailserver", "range_max_hours")).ok();
        Some(Mailserver {
            enabled: self.flag("mailserver", "enabled"),
            password: Some(self.text("mailserver", "password")).filter(|text| !text.is_empty()),
            plain: self.flag("mailserver", "plain"),
            retention_days: self.count("mailserver", "retention_days"),
            max_bytes: self.large("mailserver", "max_bytes"),
            rate_limit_seconds: self.count("mailserver", "rate_limit_seconds"),
            range_max_hours: hours.filter(|hours| *hours > 0),
            sync_from: sync_from?,
            sync_with: sync_with?,
        })
    }

    fn rpc(&mut self, directory: &Path) -> Option<Rpc> {
        let token_file = self.path("rpc", "token_file", directory);
        let password_file = self.path("rpc", "password_file", directory);
        let keep_keys = self.flag("rpc", "keep_keys");
        if keep_keys && password_file.is_none() {
            let why = "kept keys are encrypted: name a file with a password in password_file";
            self.wrong("rpc", "keep_keys", why.to_owned());
        }
        let guarded = token_file.is_some();
        let http = self.parsed("rpc", "http", optional(|text| served(text, guarded)));
        let ws = self.parsed("rpc", "ws", optional(|text| served(text, guarded)));
        let namespaces = self.parsed_list("rpc", "modules", namespaces);
        let hosts = self.parsed_list("rpc", "hosts", |list| Ok(list.to_vec()));
        let origins = self.parsed_list("rpc", "origins", |list| Ok(list.to_vec()));
        Some(Rpc {
            serve: crate::rpc::Config {
                http: http?,
                ws: ws?,
                ipc: self.path("rpc", "ipc", directory),
                namespaces: namespaces?,
                hosts: hosts?,
                origins: origins?,
            },
            token_file,
            keys_password_file: password_file.filter(|_| keep_keys),
        })
    }

    fn edge(&mut self) -> Option<Edge> {
        let bridge = self.parsed("edge", "bridge", optional(key_start));
        let hints = self.parsed_list("edge", "hints", |hints| Ok(hints.to_vec()));
        let (block_low, block_high) = (
            self.count("edge", "block_low"),
            self.count("edge", "block_high"),
        );
        if block_low >= block_high {
            let why = format!("{block_low} must be below block_high, which is {block_high}");
            self.wrong("edge", "block_low", why);
        }
        let window = match self.text("edge", "window").as_str() {
            "active" => WindowRule::Active,
            "manual" => WindowRule::Manual,
            _ => WindowRule::Connected,
        };
        let mode = match self.text("edge", "mode").as_str() {
            "interactive" => SyncMode::Interactive,
            _ => SyncMode::Batch,
        };
        Some(Edge {
            bridge: bridge?,
            hints: hints?,
            follow_all: self.flag("edge", "follow_all"),
            max_share: self.number("edge", "max_share"),
            window,
            mode,
            block_low,
            block_high,
        })
    }

    /// What a role cannot do without.
    fn needs(&mut self, roles: &Roles, whisper: &Whisper, mix: &Mix) {
        if roles.speaks_mix() && mix.listen.is_none() {
            self.wrong(
                "mix",
                "listen",
                "the roles of this node need an address here".to_owned(),
            );
        }
        if roles.has(Role::Edge) {
            match whisper.listen {
                None => self.wrong(
                    "whisper",
                    "listen",
                    "an edge needs an address here: its client connects to it".to_owned(),
                ),
                Some(address) if !address.ip().is_loopback() => self.wrong(
                    "whisper",
                    "listen",
                    format!(
                        "{address} is not loopback: whoever reaches an edge speaks as its user; \
                         write 127.0.0.1:{}",
                        address.port()
                    ),
                ),
                Some(_) => {}
            }
            if !whisper.static_peers.is_empty() {
                let why = "an edge never dials the Whisper network; leave the list empty";
                self.wrong("whisper", "static_peers", why.to_owned());
            }
            if whisper.discovery {
                let why = "an edge never looks for Whisper peers; write \"no\" or \"auto\"";
                self.wrong("whisper", "discovery", why.to_owned());
            }
        }
        self.discovers(whisper);
    }

    /// What discovery and a router cannot do without.
    fn discovers(&mut self, whisper: &Whisper) {
        if whisper.discovery && whisper.listen.is_none() {
            let why = "discovery needs the address of whisper.listen; name one, or write \"no\"";
            self.wrong("whisper", "discovery", why.to_owned());
        }
        let asks = matches!(
            whisper.nat,
            NatPolicy::Upnp | NatPolicy::Pmp | NatPolicy::Any
        );
        if asks && !whisper.discovery {
            let why = "a router is asked on behalf of discovery, which is off here: switch it on, or forward the port by hand and write \"none\" or \"extip:\" and the outer address";
            self.wrong("whisper", "nat", why.to_owned());
        }
    }

    fn value(&self, section: &str, name: &str) -> (Value, Origin) {
        let key = schema::find(section, name).expect("the schema lists every key that is read");
        self.values.get(key)
    }

    fn text(&self, section: &str, name: &str) -> String {
        match self.value(section, name).0 {
            Value::Text(text) => text,
            other => other.to_string(),
        }
    }

    /// A path relative to the directory; nothing where the text is empty.
    fn path(&self, section: &str, name: &str, directory: &Path) -> Option<PathBuf> {
        let text = self.text(section, name);
        (!text.is_empty()).then(|| directory.join(text))
    }

    fn flag(&self, section: &str, name: &str) -> bool {
        self.value(section, name).0 == Value::Flag(true)
    }

    fn number(&self, section: &str, name: &str) -> f64 {
        match self.value(section, name).0 {
            Value::Number(number) => number,
            _ => 0.0,
        }
    }

    /// A number that may be large.
    fn large(&self, section: &str, name: &str) -> u64 {
        match self.value(section, name).0 {
            Value::Count(count) => u64::try_from(count).unwrap_or(0),
            _ => 0,
        }
    }

    fn count32(&self, section: &str, name: &str) -> u32 {
        u32::try_from(self.large(section, name)).unwrap_or(u32::MAX)
    }

    fn count(&self, section: &str, name: &str) -> u16 {
        match self.value(section, name).0 {
            Value::Count(count) => u16::try_from(count).unwrap_or(u16::MAX),
            _ => 0,
        }
    }

    fn parsed<T>(
        &mut self,
        section: &str,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(section, name);
        parse(&text)
            .map_err(|why| self.wrong(section, name, why))
            .ok()
    }

    fn parsed_list<T>(
        &mut self,
        section: &str,
        name: &str,
        parse: impl FnOnce(&[String]) -> Result<T, String>,
    ) -> Option<T> {
        let list = match self.value(section, name).0 {
            Value::List(list) => list,
            _ => Vec::new(),
        };
        parse(&list)
            .map_err(|why| self.wrong(section, name, why))
            .ok()
    }

    fn wrong(&mut self, section: &str, name: &str, why: String) {
        let origin = self.value(section, name).1;
        self.errors.push(ConfigError::Meaning {
            origin,
            key: format!("{section}.{name}"),
            why,
        });
    }
}

fn optional<T>(
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> impl FnOnce(&str) -> Result<Option<T>, String> {
    move |text| {
        if text.is_empty() {
            Ok(None)
        } else {
            parse(text).map(Some)
        }
    }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no address and port; write for example \"0.0.0.0:30303\"")
    })
}

fn ip(text: &str) -> Result<IpAddr, String> {
    let wrong = || format!("{text:?} is no IP address; write for example \"203.0.113.7\"");
    text.parse::<IpAddr>()
        .ok()
        .filter(|ip| !ip.is_unspecified())
        .ok_or_else(wrong)
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = socket(text)?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is not loopback, and the API has no password in this version; write \
             127.0.0.1:{} and use a proxy or an SSH tunnel from elsewhere",
            address.port()
        ));
    }
    Ok(address)
}

/// An address for JSON-RPC: others may reach it only where they need a token.
fn served(text: &str, guarded: bool) -> Result<SocketAddr, String> {
    let address = socket(text)?;
    if address.ip().is_loopback() || guarded {
        return Ok(address);
    }
    Err(format!(
        "{address} is not loopback, and whoever reaches JSON-RPC has every key that it holds; write \
         127.0.0.1:{}, or set token_file",
        address.port()
    ))
}

fn namespaces(list: &[String]) -> Result<Vec<Namespace>, String> {
    let mut namespaces = Vec::new();
    for name in list {
        let namespace = Namespace::named(name)
            .ok_or_else(|| format!("{name:?} is no module: admin, net, shh or web3"))?;
        namespaces.push(namespace);
    }
    namespaces.sort();
    namespaces.dedup();
    Ok(namespaces)
}

fn log_level(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{text:?} is no filter ({error}); write for example \"info\""))
}

fn key_start(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches("0x").to_lowercase();
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hex || text.len() < BRIDGE_KEY_DIGITS_MIN || text.len() > 66 {
        return Err(format!(
            "{text:?} is not the start ({BRIDGE_KEY_DIGITS_MIN} to 66 hexadecimal digits) of a peer key"
        ));
    }
    Ok(text)
}

fn enodes(list: &[String]) -> Result<Vec<String>, String> {
    for text in list {
        crate::identity::check_enode(text).map_err(|why| format!("{text:?}: {why}"))?;
    }
    Ok(list.to_vec())
}

fn bootnodes(list: &[String]) -> Result<Vec<String>, String> {
    for text in list {
        crate::identity::check_bootnode(text).map_err(|why| format!("{text:?}: {why}"))?;
    }
    Ok(list.to_vec())
}

/// Digits that tell the bridges of one relay list apart.
const BRIDGE_KEY_DIGITS_MIN: usize = 8;
