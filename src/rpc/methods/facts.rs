//! `net_*`, `web3_*` and `rpc_modules`: what clients ask before anything else.

use std::collections::BTreeMap;

use legacy::keccak::keccak256;

use super::{Namespace, Table, hexadecimal};
use crate::rpc::argument::{Arguments, Bytes};

/// What `geth` calls the main network. Whisper has no chain; clients want a number all the same.
const NETWORK: &str = "1";

pub(super) fn register_net(table: &mut Table) {
    table.method("net_version", |params, _| async move {
        Arguments::none(params.as_deref())?;
        Ok(NETWORK)
    });
    table.method("net_listening", |params, context| async move {
        Arguments::none(params.as_deref())?;
        Ok(context.node.about().listen.is_some())
    });
    table.method("net_peerCount", |params, context| async move {
        Arguments::none(params.as_deref())?;
        let peers = context.node.peers().await.len();
        Ok(format!("0x{peers:x}"))
    });
}

pub(super) fn register_web3(table: &mut Table) {
    table.method("web3_clientVersion", |params, context| async move {
        Arguments::none(params.as_deref())?;
        Ok(context.node.about().client_name.clone())
    });
    table.method("web3_sha3", |params, _| async move {
        let input: Bytes = Arguments::only(params.as_deref())?;
        Ok(hexadecimal(&keccak256(&input.0)))
    });
}

pub(super) fn register_rpc(table: &mut Table, offered: &[Namespace]) {
    let names = offered.iter().map(|namespace| namespace.as_str());
    let modules: BTreeMap<&str, &str> = names.chain(["rpc"]).map(|name| (name, "1.0")).collect();
    table.method("rpc_modules", move |params, _| {
        let modules = modules.clone();
        async move {
            Arguments::none(params.as_deref())?;
            Ok(modules)
        }
    });
}
