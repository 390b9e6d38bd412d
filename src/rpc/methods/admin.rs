//! `admin_*`: peers, and the node itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use legacy::peers::Kind;
use legacy::rlpx::Direction;
use legacy::shell::PeerInfo;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Context, Table};
use crate::rpc::argument::Arguments;
use crate::rpc::error::Error;
use crate::rpc::number::float;
use crate::rpc::peer_url::PeerUrl;

/// One connection, as `admin_peers` shows it.
#[derive(Serialize, Clone)]
struct Peer {
    enode: String,
    id: String,
    name: String,
    caps: Vec<&'static str>,
    network: Network,
    protocols: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Network {
    local_address: String,
    remote_address: String,
    inbound: bool,
    trusted: bool,
    #[serde(rename = "static")]
    fixed: bool,
}

/// The node itself, as `admin_nodeInfo` shows it.
#[derive(Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct NodeInfo {
    id: String,
    name: String,
    enode: String,
    enr: String,
    ip: String,
    ports: Ports,
    listen_addr: String,
    protocols: BTreeMap<&'static str, Whisper>,
}

#[derive(Serialize, Clone)]
struct Ports {
    discovery: u16,
    listener: u16,
}

/// What the node says of Whisper.
#[derive(Serialize, Clone)]
struct Whisper {
    version: &'static str,
    #[serde(rename = "maxMessageSize")]
    max_message_size: usize,
    #[serde(rename = "minimumPoW")]
    minimum_pow: Box<RawValue>,
}

pub(super) fn register(table: &mut Table) {
    table.method("admin_addPeer", |params, context| async move {
        let peer = peer(params.as_deref())?;
        let enode = peer.enode.ok_or_else(no_address)?;
        context.node.add_peer(enode).await?;
        Ok(true)
    });
    table.method("admin_removePeer", |params, context| async move {
        context
            .node
            .remove_peer(peer(params.as_deref())?.node)
            .await?;
        Ok(true)
    });
    table.method("admin_addTrustedPeer", |params, context| async move {
        let peer = peer(params.as_deref())?;
        let enode = peer.enode.ok_or_else(no_address)?;
        context.node.add_trusted_peer(enode).await?;
        Ok(true)
    });
    table.method("admin_removeTrustedPeer", |params, context| async move {
        let node = peer(params.as_deref())?.node;
        context.node.remove_trusted_peer(node).await?;
        Ok(true)
    });
    table.method("admin_peers", |params, context| async move {
        Arguments::none(params.as_deref())?;
        let peers = context.node.peers().await;
        let listen = context.node.about().listen;
        let shown = peers.iter().map(|peer| shown(peer, listen));
        Ok(shown.collect::<Vec<_>>())
    });
    table.method("admin_nodeInfo", |params, context| async move {
        Arguments::none(params.as_deref())?;
        node_info(&context).await
    });
    table.method("admin_datadir", |params, context| async move {
        Arguments::none(params.as_deref())?;
        Ok(context.datadir.display().to_string())
    });
}

fn peer(params: Option<&str>) -> Result<PeerUrl, Error> {
    let url: String = Arguments::only(params)?;
    PeerUrl::parse(&url).map_err(|why| Error::method(format!("invalid enode: {why}")))
}

fn no_address() -> Error {
    Error::method("invalid enode: it names no address, and nodes are not looked up by their names")
}

/// The local end of a connection that we dialled is not kept: it is a port of the moment.
fn shown(peer: &PeerInfo, listen: Option<SocketAddr>) -> Peer {
    let inbound = peer.direction == Direction::Accepted;
    Peer {
        enode: peer.enode.to_string(),
        id: hex::encode(peer.enode.node_id().as_bytes()),
        name: peer.client_name.clone(),
        caps: vec!["shh/6"],
        network: Network {
            local_address: listen
                .filter(|_| inbound)
                .map(|listen| listen.to_string())
                .unwrap_or_default(),
            remote_address: peer.enode.tcp().to_string(),
            inbound,
            trusted: peer.trusted,
            fixed: peer.kind == Kind::Static,
        },
        protocols: BTreeMap::from([("shh", "unknown")]),
    }
}

async fn node_info(context: &Context) -> Result<NodeInfo, Error> {
    let info = context.node.info().await?;
    let about = context.node.about();
    let enode = about.enode.as_ref();
    let address = enode.map(|enode| enode.tcp());
    Ok(NodeInfo {
        id: hex::encode(about.id.as_bytes()),
        name: about.client_name.clone(),
        enode: enode.map(ToString::to_string).unwrap_or_default(),
        enr: context.node.record().unwrap_or_default(),
        ip: address.map(|at| at.ip().to_string()).unwrap_or_default(),
        ports: Ports {
            discovery: enode.map_or(0, |enode| enode.udp_port()),
            listener: address.map_or(0, |at| at.port()),
        },
        listen_addr: about.listen.map(|at| at.to_string()).unwrap_or_default(),
        protocols: BTreeMap::from([(
            "shh",
            Whisper {
                version: "6.0",
                max_message_size: info.envelope_len_max,
                minimum_pow: float(info.min_pow),
            },
        )]),
    })
}
