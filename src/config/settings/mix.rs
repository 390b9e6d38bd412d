//! Section `mix`: where a node takes part in the mixnet, and by which ways.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use mixnet::epoch::Epochs;
use mixnet::shell::{Multiaddr, Reach, ReachError, check_listen, split_peer};
use mixnet::{Class, LowTraffic};

use super::{Reader, optional};
use crate::role::{Role, Roles};

/// The mixnet.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Where it listens; none if no role takes part in the mixnet.
    pub listen: Option<SocketAddrV4>,
    /// What the descriptor names, if it is not the listening address.
    pub advertise: Option<SocketAddrV4>,
    /// Other ways to and from the node.
    pub reach: Reach,
    /// A name of [`mixnet`]'s presets.
    pub preset: String,
    /// Classes of messages that have the delay of another preset.
    pub classes: BTreeMap<Class, String>,
    /// Classes whose packets are sent twice.
    pub twice: Vec<Class>,
    /// What is done while too few packets mix.
    pub low_traffic: LowTraffic,
    /// Refuse what cannot have its level.
    pub strict: bool,
    /// The file of signed descriptors.
    pub topology: PathBuf,
    /// Whether the network is found by gossip; otherwise it is what the file says.
    pub gossip: bool,
    /// How long epochs are.
    pub epochs: Epochs,
    /// Packets a second that a relay takes for long.
    pub capacity: u16,
    /// Percent of the packets from neighbours that are lost on purpose.
    pub test_loss_percent: u8,
    /// Whether packets may go to loopback and private addresses.
    pub private_network: PrivateNetwork,
    /// Where to write when every packet passed, in a measurement on one machine.
    pub trace_file: Option<PathBuf>,
}

/// Whether packets may go to loopback and private addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateNetwork {
    /// If this node advertises such an address itself.
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

impl PrivateNetwork {
    /// The answer for a node that advertises `own`.
    pub fn allowed(self, own: Ipv4Addr) -> bool {
        match self {
            Self::Auto => is_local(own),
            Self::Yes => true,
            Self::No => false,
        }
    }
}

/// Whether an address is in none of the networks that the whole internet routes.
fn is_local(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarks = a == 198 && (b == 18 || b == 19);
    let named = ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_documentation();
    named || shared || benchmarks
}

impl Reader<'_> {
    pub(super) fn mix(&mut self, directory: &Path, roles: Option<&Roles>) -> Option<Mix> {
        let listen = self.parsed("mix", "listen", optional(socket_v4));
        let reach = self.reach(roles);
        let port = listen.flatten().map(|address| address.port());
        let advertise = self.parsed(
            "mix",
            "advertise",
            optional(move |text| advertised(text, port)),
        );
        let topology = directory.join(self.text("mix", "topology"));
        let private_network = match self.text("mix", "private_network").as_str() {
            "yes" => PrivateNetwork::Yes,
            "no" => PrivateNetwork::No,
            _ => PrivateNetwork::Auto,
        };
        let preset = self.text("mix", "preset");
        let test_loss_percent = u8::try_from(self.count("mix", "test_loss_percent")).unwrap_or(0);
        let on_loopback = listen
            .flatten()
            .is_none_or(|address| address.ip().is_loopback());
        if test_loss_percent > 0 && !on_loopback {
            let why = "a node that others reach must not lose their packets; write 0, or listen on 127.0.0.1";
            self.wrong("mix", "test_loss_percent", why.to_owned());
        }
        let trace_file = Some(self.text("mix", "trace_file")).filter(|name| !name.is_empty());
        if let (Some(_), Some(address)) = (&trace_file, listen.flatten())
            && !address.ip().is_loopback()
        {
            let why = format!(
                "{address} is not loopback: a trace is for measurements on one machine; leave it empty"
            );
            self.wrong("mix", "trace_file", why);
        }
        let gossip = self.text("mix", "directory") == "gossip";
        if gossip && trace_file.is_some() {
            let why = "a trace names nodes by the file of descriptors: leave it empty, or write mix.directory = \"file\"";
            self.wrong("mix", "trace_file", why.to_owned());
        }
        // The schema has the same bounds.
        let epochs = Epochs::new(self.count32("mix", "epoch_seconds")).ok()?;
        let other = |class: &Class| {
            Some((*class, self.text("mix", class.as_str()))).filter(|(_, name)| !name.is_empty())
        };
        let classes = Class::ALL.iter().filter_map(other).collect();
        let twice = self.parsed_list("mix", "twice", twice);
        let low_traffic = LowTraffic::named(&self.text("mix", "low_traffic")).unwrap_or_default();
        let strict = self.flag("mix", "strict");
        Some(Mix {
            listen: listen?,
            advertise: advertise?,
            reach: reach?,
            preset,
            classes,
            twice: twice?,
            low_traffic,
            strict,
            topology,
            gossip,
            epochs,
            capacity: self.count("mix", "capacity"),
            test_loss_percent,
            private_network,
            trace_file: trace_file.map(|name| directory.join(name)),
        })
    }

    /// The ways to and from the node besides its address.
    fn reach(&mut self, roles: Option<&Roles>) -> Option<Reach> {
        let also_listen =
            self.parsed_list("mix", "also_listen", |list| multiaddrs(list, check_listen));
        let peers = self.parsed_list("mix", "peers", |list| {
            multiaddrs(list, |peer| split_peer(peer).map(drop))
        });
        let is_called = roles.is_some_and(Roles::is_called);
        let is_relay = roles.is_some_and(|roles| roles.has(Role::Relay));
        let light = self.flag("mix", "light");
        if light && is_called {
            let why = "others depend on a relay, a bridge or a mailbox, so it cannot be light";
            self.wrong("mix", "light", why.to_owned());
        }
        Some(Reach {
            quic: self.flag("mix", "quic"),
            also_listen: also_listen?,
            peers: peers?,
            nat: self.flag("mix", "nat"),
            circuit_relay: self.flag("mix", "circuit_relay") && is_relay,
            light,
        })
    }
}

fn twice(list: &[String]) -> Result<Vec<Class>, String> {
    let mut classes = Vec::new();
    for name in list {
        let class = Class::named(name).filter(|class| *class != Class::Replies);
        classes.push(class.ok_or_else(|| {
            format!("{name:?} is no class that can be sent twice: interactive, bulk or background")
        })?);
    }
    classes.sort();
    classes.dedup();
    Ok(classes)
}

fn multiaddrs(
    list: &[String],
    check: impl Fn(&Multiaddr) -> Result<(), ReachError>,
) -> Result<Vec<Multiaddr>, String> {
    let read = |text: &String| {
        let address: Multiaddr = text
            .parse()
            .map_err(|error| format!("{text:?} is no multiaddress: {error}"))?;
        check(&address).map_err(|error| error.to_string())?;
        Ok(address)
    };
    list.iter().map(read).collect()
}

fn socket_v4(text: &str) -> Result<SocketAddrV4, String> {
    let address: SocketAddrV4 = text.parse().map_err(|_| {
        format!("{text:?} is no IPv4 address and port; write for example \"0.0.0.0:60000\"")
    })?;
    if address.port() == 0 {
        return Err("port 0 changes with every start, but the descriptor names it".to_owned());
    }
    Ok(address)
}

/// An address that others can dial, with the port of `mix.listen` unless it names one.
fn advertised(text: &str, port: Option<u16>) -> Result<SocketAddrV4, String> {
    let address = match (text.parse::<SocketAddrV4>(), text.parse::<Ipv4Addr>(), port) {
        (Ok(address), _, _) => Some(address),
        (Err(_), Ok(ip), Some(port)) => Some(SocketAddrV4::new(ip, port)),
        _ => None,
    };
    address
        .filter(|address| !address.ip().is_unspecified() && address.port() != 0)
        .ok_or_else(|| {
            format!("{text:?} is no IPv4 address (with or without port) that others can dial")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn mix(text: &str) -> Result<Mix, String> {
        let sources = Sources {
            file: Some(("c".into(), format!("[node]\n{text}\n"))),
            ..Sources::default()
        };
        let settings = load(&sources, Path::new("d"));
        settings
            .map(|settings| settings.mix)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn relays_help_others_and_nobody_is_at_home_without_being_told() {
        for (text, nat, circuit_relay) in [
            ("roles = [\"relay\"]", false, true),
            ("roles = [\"bridge\"]", false, false),
            (
                "roles = [\"relay\"]\n[mix]\ncircuit_relay = false",
                false,
                false,
            ),
            ("roles = [\"mailbox\"]\n[mix]\nnat = true", true, false),
            (
                "roles = [\"edge\"]\n[mix]\ncircuit_relay = true",
                false,
                false,
            ),
        ] {
            let reach = mix(text).unwrap().reach;
            let found = (reach.nat, reach.circuit_relay);
            assert_eq!(found, (nat, circuit_relay), "{text}");
            assert!(reach.quic && !reach.light, "{text}");
        }
    }

    #[test]
    fn only_an_edge_is_light() {
        let light = |role: &str| mix(&format!("roles = [\"{role}\"]\n[mix]\nlight = true"));
        assert!(light("edge").unwrap().reach.light);
        for role in ["relay", "bridge", "mailbox"] {
            let error = light(role).unwrap_err();
            assert!(error.contains("cannot be light"), "{error}");
        }
    }

    #[test]
    fn addresses_are_read_and_named_when_they_are_wrong() {
        let with = |key: &str, value: &str| {
            mix(&format!(
                "roles = [\"relay\"]\n[mix]\n{key} = [\"{value}\"]"
            ))
        };
        let reach = with("also_listen", "/ip6/::/tcp/60000").unwrap().reach;
        assert_eq!(reach.also_listen[0].to_string(), "/ip6/::/tcp/60000");
        for (key, value, part) in [
            ("also_listen", "[::]:60000", "no multiaddress"),
            ("also_listen", "/ip4/1.2.3.4/tcp/1/wss", "cannot listen on"),
            ("peers", "/ip4/1.2.3.4/tcp/1", "not the address of a peer"),
        ] {
            let error = with(key, value).unwrap_err();
            assert!(error.contains(part) && error.contains(key), "{error}");
        }
    }
}
