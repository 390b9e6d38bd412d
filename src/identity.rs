//! What a node tells others about itself: its enode, its peer id, its signed mix descriptor, and
//! every address that it listens on. All of it follows from the keys and the configuration, so it
//! is known before the node ever ran.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::PathBuf;

use legacy::enode::{Enode, EnodeError};
use legacy::enr::{Place as RecordPlace, Record};
use legacy::identity::SecretKey as NodeKey;
use mixnet::descriptor::{Capabilities, Descriptor, PLACES_MAX, Place, Statement};
use mixnet::directory::Profile;
use mixnet::shell::place;
use mixnet::{PeerKey, SecretKey, Transport};
use serde::Serialize;

use crate::config::Settings;
use crate::failure::Failure;
use crate::keystore::{Keys, Secret};
use crate::role::{Role, Roles};

/// Epoch of the mix key in a static relay list: keys do not rotate there. Where they do, such a descriptor says where a node is and
/// who; the directory asks it for the rest.
const STATIC_EPOCH: u32 = 0;

/// The number of a node's record until it says something else.
const FIRST_RECORD: u64 = 1;

/// The public side of a node, as `ferry id` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identity {
    /// What it is.
    pub roles: Roles,
    /// For Whisper peers.
    pub enode: Option<String>,
    /// The same and more, signed.
    pub enr: Option<String>,
    /// Where it listens for them.
    pub whisper: Option<SocketAddr>,
    /// Whether it hands history to clients that were away.
    pub mailserver: bool,
    /// The libp2p identity.
    pub peer_id: Option<String>,
    /// For libp2p peers.
    pub multiaddr: Option<String>,
    /// Where it listens for them.
    pub mix: Option<SocketAddrV4>,
    /// The Sphinx key, hexadecimal.
    pub mix_key: Option<String>,
    /// The gateway key of a bridge, hexadecimal.
    pub gateway_key: Option<String>,
    /// What belongs into everybody's relay list; an edge has none.
    pub descriptor: Option<serde_json::Value>,
    /// The HTTP API.
    pub api: String,
    /// JSON-RPC over HTTP.
    pub rpc_http: Option<String>,
    /// JSON-RPC over WebSocket.
    pub rpc_ws: Option<String>,
    /// JSON-RPC over a unix socket.
    pub ipc: Option<PathBuf>,
}

impl Identity {
    /// What follows from these settings and keys.
    pub fn new(settings: &Settings, keys: &Keys) -> Result<Self, Failure> {
        let roles = settings.node.roles.clone();
        let peer = keys.libp2p.as_ref().map(peer_key).transpose()?;
        let mix_address = mix_address(settings);
        let peer_id = peer.map(|peer| peer_id(&peer)).transpose()?;
        let multiaddr = match (&peer_id, mix_address) {
            (Some(id), Some(a)) => Some(format!("/ip4/{}/tcp/{}/p2p/{id}", a.ip(), a.port())),
            _ => None,
        };
        let descriptor = descriptor(settings, keys)?;
        let place = keys.devp2p.as_ref().map(|key| enode(key, settings));
        let place = place.transpose()?.flatten();
        let public = |secret: &Secret| {
            hex::encode(SecretKey::from_bytes(*secret.expose()).public().as_bytes())
        };
        Ok(Self {
            roles,
            enode: place.as_ref().map(|(enode, _)| enode.to_string()),
            enr: place.map(|(_, record)| record.to_string()),
            whisper: settings.whisper.listen,
            mailserver: settings.mailserver.enabled,
            peer_id,
            multiaddr,
            mix: settings.mix.listen,
            mix_key: keys.mix.as_ref().map(public),
            gateway_key: keys.gateway.as_ref().map(public),
            descriptor: descriptor.map(|descriptor| descriptor.to_json()),
            api: format!("http://{}", settings.api.listen),
            rpc_http: settings.rpc.serve.http.map(|at| format!("http://{at}")),
            rpc_ws: settings.rpc.serve.ws.map(|at| format!("ws://{at}")),
            ipc: settings.rpc.serve.ipc.clone(),
        })
    }
}

/// The address at which others reach the node's mixnet side.
pub fn mix_address(settings: &Settings) -> Option<SocketAddrV4> {
    let listen = settings
        .mix
        .listen
        .filter(|_| settings.node.roles.speaks_mix())?;
    let own = || SocketAddrV4::new(own_address(), listen.port());
    let reachable = if listen.ip().is_unspecified() {
        own()
    } else {
        listen
    };
    Some(settings.mix.advertise.unwrap_or(reachable))
}

/// The signed descriptor of a node that others send packets to; an edge needs none, its address
/// travels in its reply blocks.
pub fn descriptor(settings: &Settings, keys: &Keys) -> Result<Option<Descriptor>, Failure> {
    let (Some(identity), Some(statement)) = (&keys.libp2p, statement(settings, keys)) else {
        return Ok(None);
    };
    Descriptor::sign(statement, identity.expose())
        .map(Some)
        .map_err(|error| Failure::bug("the descriptor cannot be signed", error.to_string()))
}

/// What the descriptor of a node in a static list says; none for a node that offers nothing to others.
fn statement(settings: &Settings, keys: &Keys) -> Option<Statement> {
    let roles = &settings.node.roles;
    let capabilities = Capabilities {
        relay: roles.has(Role::Relay),
        bridge: roles.has(Role::Bridge),
        mailbox: roles.has(Role::Mailbox),
    };
    let mix = keys.mix.as_ref().filter(|_| roles.is_called())?;
    let gateway = keys.gateway.as_ref().filter(|_| capabilities.bridge);
    Some(Statement {
        address: mix_address(settings),
        places: further_places(settings),
        capabilities,
        gateway_key: gateway.map(|key| *SecretKey::from_bytes(*key.expose()).public().as_bytes()),
        capacity: settings.mix.capacity,
        ..Statement::new(STATIC_EPOCH, SecretKey::from_bytes(*mix.expose()).public())
    })
}

/// What the descriptors of every epoch say of this node; of one that offers nothing to others, nothing.
pub fn profile(settings: &Settings, keys: &Keys) -> Profile {
    let said = statement(settings, keys);
    let said = said.as_ref();
    Profile {
        address: said.and_then(|said| said.address),
        transport: said.map_or(Transport::Tcp, |said| said.transport),
        places: said.map(|said| said.places.clone()).unwrap_or_default(),
        capabilities: said.map(|said| said.capabilities).unwrap_or_default(),
        capacity: settings.mix.capacity,
        gateway_key: said.and_then(|said| said.gateway_key),
    }
}

/// Where else the node listens, as far as others could dial it there: loopback only in a network on loopback.
fn further_places(settings: &Settings) -> Vec<Place> {
    let named = mix_address(settings);
    let on_loopback = named.is_some_and(|address| address.ip().is_loopback());
    let places = settings.mix.reach.also_listen.iter().filter_map(place);
    places
        .filter(|place| on_loopback || !place.at.ip().is_loopback())
        .take(PLACES_MAX)
        .collect()
}

/// The node's libp2p key.
pub fn peer_key(identity: &Secret) -> Result<PeerKey, Failure> {
    let bug = |why: String| Failure::bug("the libp2p key has no public key", why);
    let secret = secp256k1::SecretKey::from_secret_bytes(*identity.expose())
        .map_err(|error| bug(error.to_string()))?;
    PeerKey::from_bytes(secret.public_key().serialize()).map_err(|error| bug(error.to_string()))
}

/// The peer id in the usual base58.
pub fn peer_id(peer: &PeerKey) -> Result<String, Failure> {
    libp2p::PeerId::from_bytes(&peer.to_peer_id())
        .map(|id| id.to_base58())
        .map_err(|error| Failure::bug("the libp2p key has no peer id", error.to_string()))
}

/// The node's enode, and its record as it is before discovery ever ran; none if it does not listen.
fn enode(key: &Secret, settings: &Settings) -> Result<Option<(Enode, Record)>, Failure> {
    let Some(listen) = settings.whisper.listen else {
        return Ok(None);
    };
    let key = NodeKey::from_bytes(key.expose())
        .map_err(|error| Failure::bug("the devp2p key has no public key", error.to_string()))?;
    let own = if listen.ip().is_unspecified() {
        own_address().into()
    } else {
        listen.ip()
    };
    let address = SocketAddr::new(settings.whisper.advertise.unwrap_or(own), listen.port());
    let enode = Enode::new(key.public(), address);
    let mut place = RecordPlace::new(address.ip(), enode.udp_port(), address.port());
    place.udp = place.udp.filter(|_| settings.whisper.discovery);
    Ok(Some((enode, Record::sign(&key, FIRST_RECORD, place))))
}

/// Whether `text` is an enode that can be dialled.
pub fn check_enode(text: &str) -> Result<(), String> {
    let enode: Enode = text.parse().map_err(|error: EnodeError| {
        format!("{error}; write enode://<128 hexadecimal digits>@<IP>:<port>")
    })?;
    let address = enode.tcp();
    if address.port() == 0 || address.ip().is_unspecified() {
        return Err(format!("{address} cannot be dialled"));
    }
    Ok(())
}

/// Whether `text` is an enode or a record of a node that discovery can ask.
pub fn check_bootnode(text: &str) -> Result<(), String> {
    let enode: Enode = text.parse().map_err(|error: EnodeError| {
        format!("{error}; write enode://<128 hexadecimal digits>@<IP>:<port>, or enr:…")
    })?;
    if enode.udp_port() == 0 || enode.udp().ip().is_unspecified() {
        return Err("it names no UDP port that can be asked".to_owned());
    }
    Ok(())
}

/// The address that this machine uses towards the internet, or loopback without one. Connecting a
/// UDP socket sends nothing, it only asks the routing table; the target is a documentation address.
fn own_address() -> Ipv4Addr {
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    match ask().map(|address| address.ip()) {
        Ok(IpAddr::V4(ip)) if !ip.is_unspecified() => ip,
        _ => Ipv4Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Sources, load};

    fn identity(roles: &str, extra: &str) -> Identity {
        let roles: Roles = roles.parse().unwrap();
        let names: Vec<String> = roles.iter().map(|role| format!("\"{role}\"")).collect();
        let text = format!("[node]\nroles = [{}]\n{extra}", names.join(","));
        let sources = Sources {
            file: Some(("c".into(), text)),
            ..Sources::default()
        };
        let settings = load(&sources, Path::new("d")).unwrap();
        let mut count = 0;
        let keys = Keys::generate(&roles, &mut |bytes| {
            count += 1;
            *bytes = [count; 32];
            Ok(())
        });
        Identity::new(&settings, &keys.unwrap()).unwrap()
    }

    #[test]
    fn a_bridge_has_everything_and_its_descriptor_verifies() {
        let id = identity(
            "bridge",
            "[mix]\nadvertise = \"203.0.113.7\"\n[whisper]\nadvertise = \"203.0.113.8\"\n",
        );
        let descriptor = Descriptor::from_json(&id.descriptor.unwrap().to_string()).unwrap();
        assert_eq!(
            descriptor.address().unwrap().to_string(),
            "203.0.113.7:60000"
        );
        assert!(descriptor.capabilities().bridge && !descriptor.capabilities().relay);
        assert_eq!(
            hex::encode(descriptor.gateway_key().unwrap()),
            id.gateway_key.unwrap()
        );
        assert_eq!(
            hex::encode(descriptor.mix_key().as_bytes()),
            id.mix_key.unwrap()
        );
        let enode = id.enode.unwrap();
        assert!(enode.ends_with("@203.0.113.8:30303"), "{enode}");
        check_enode(&enode).unwrap();
        let record: Record = id.enr.unwrap().parse().unwrap();
        assert_eq!(record.enode().unwrap().to_string(), enode);
        let peer_id = id.peer_id.unwrap();
        assert!(peer_id.starts_with("16Uiu2HA"), "{peer_id}");
        assert_eq!(
            id.multiaddr.unwrap(),
            format!("/ip4/203.0.113.7/tcp/60000/p2p/{peer_id}")
        );
        assert_eq!(id.api, "http://127.0.0.1:8645");
    }

    #[test]
    fn a_descriptor_names_further_places_that_others_can_dial() {
        let id = identity(
            "relay",
            "[mix]\nadvertise = \"203.0.113.7\"\nalso_listen = [\"/ip6/2001:db8::7/tcp/60000\", \"/ip6/::1/tcp/60000\", \
             \"/ip6/2001:db8::7/udp/60000/quic-v1\", \"/ip4/127.0.0.1/tcp/60080/ws\"]\n",
        );
        let descriptor = Descriptor::from_json(&id.descriptor.unwrap().to_string()).unwrap();
        let places = descriptor.statement().places.iter();
        let places: Vec<_> = places.map(|place| (place.transport, place.at)).collect();
        let at = "[2001:db8::7]:60000".parse().unwrap();
        assert_eq!(places, [(Transport::Tcp, at), (Transport::Quic, at)]);
    }

    #[test]
    fn roles_show_only_what_they_have() {
        let edge = identity("edge", "");
        assert_eq!(edge.descriptor, None);
        assert!(edge.enode.unwrap().ends_with("@127.0.0.1:30303"));
        let relay = identity("relay", "");
        assert_eq!((relay.enode, relay.gateway_key), (None, None));
        assert_eq!(relay.enr, None);
        let address = relay.descriptor.unwrap()["address"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(!address.starts_with("0.0.0.0"), "{address}");
        let whisper = identity("whisper", "");
        assert_eq!(
            (whisper.peer_id, whisper.multiaddr, whisper.descriptor),
            (None, None, None)
        );
    }

    #[test]
    fn enodes_that_cannot_be_dialled_are_refused() {
        let good = identity("edge", "").enode.unwrap();
        check_enode(&format!("{good}?discport=0")).unwrap();
        let id = &good[8..136];
        for (bad, part) in [
            (String::new(), "starts with"),
            (good.replace("enode", "http"), "starts with"),
            (format!("enode://{id}"), "needs @"),
            (format!("enode://{}@127.0.0.1:1", &id[1..]), "128"),
            (
                format!("enode://{}@127.0.0.1:1", "00".repeat(64)),
                "unusable",
            ),
            (format!("enode://{id}@localhost:30303"), "IPv4 address"),
            (format!("enode://{id}@127.0.0.1"), "port"),
            (format!("enode://{id}@127.0.0.1:0"), "dialled"),
            (format!("enode://{id}@0.0.0.0:30303"), "dialled"),
        ] {
            let why = check_enode(&bad).unwrap_err();
            assert!(why.contains(part), "{bad}: {why}");
        }
    }
}
