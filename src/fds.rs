//! File descriptors: a node that runs out of them looks alive and is dead, so it counts first.

use crate::config::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::role::Role;

/// Below this a node cannot open its database, its log and a handful of peers.
const FDS_LEAST: u64 = 128;

/// Descriptors of RocksDB: open table files, logs, locks.
const FDS_DATABASE: u64 = 256;

/// The runtime, the API (64 connections), standard streams, slack for what is closing.
const FDS_OTHER: u64 = 128;

/// libp2p connections that the mixnet side allows at once.
const FDS_MIX: u64 = 256;

/// Connections that one transport of JSON-RPC allows at once.
const FDS_CLIENTS: u64 = crate::rpc::limits::CONNECTIONS_MAX as u64;

/// Descriptors that a node with these settings can come to use.
pub fn needed(settings: &Settings) -> u64 {
    let roles = &settings.node.roles;
    let own = settings.whisper.static_peers.len() + settings.whisper.trusted_peers.len();
    let peers = u64::from(settings.whisper.max_peers) + own as u64;
    let whisper = if roles.speaks_whisper() {
        peers + peers / 5
    } else {
        0
    };
    let mix = if roles.speaks_mix() { FDS_MIX } else { 0 };
    let database = roles.has(Role::Bridge) || roles.has(Role::Edge);
    let serve = &settings.rpc.serve;
    let transports = [
        serve.http.is_some(),
        serve.ws.is_some(),
        serve.ipc.is_some(),
    ];
    let clients = FDS_CLIENTS * transports.iter().filter(|on| **on).count() as u64;
    whisper + mix + clients + if database { FDS_DATABASE } else { 0 } + FDS_OTHER
}

/// Raises the limit to what is needed. Refuses what cannot work; what is merely tight is returned
/// as a warning.
pub fn prepare(settings: &Settings) -> Result<Option<String>, Failure> {
    let needed = needed(settings);
    let limit = rlimit::increase_nofile_limit(needed.max(FDS_WANTED)).map_err(|error| {
        Failure::new(
            Exit::Resources,
            "the limit of open files cannot be read",
            error.to_string(),
            "run `ulimit -n` to see it",
        )
    })?;
    judge(limit, needed)
}

fn judge(limit: u64, needed: u64) -> Result<Option<String>, Failure> {
    if limit < FDS_LEAST {
        return Err(Failure::new(
            Exit::Resources,
            "too few open files are allowed",
            format!(
                "the limit is {limit}, a node needs at least {FDS_LEAST}, this one up to {needed}"
            ),
            format!("raise it: `ulimit -n {needed}`, or LimitNOFILE={needed} in the unit"),
        ));
    }
    Ok((limit < needed).then(|| {
        format!("only {limit} open files are allowed, this node may need {needed}: under load it refuses connections; raise `ulimit -n`")
    }))
}

/// What we ask for if the system lets us: cheap, and spares the calculation for future peers.
const FDS_WANTED: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_are_refused_and_few_are_warned_of() {
        let refused = judge(64, 700).unwrap_err();
        assert_eq!(refused.exit, Exit::Resources);
        assert!(refused.what_to_do.contains("ulimit -n 700"), "{refused}");
        assert!(judge(256, 700).unwrap().unwrap().contains("256"));
        assert_eq!(judge(700, 700).unwrap(), None);
    }
}
