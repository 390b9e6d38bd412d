//! `ferry init`: a directory with keys and a commented configuration.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{id, out};
use crate::config::template::Overrides;
use crate::config::{Ports, template};
use crate::directory::{Directory, FILE_MODE, write_new};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keystore::{self, Keys};
use crate::role::{Role, Roles};

/// Makes the directory of a new node: keys, and a config.toml that explains every key.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What the node will do: edge, bridge, relay, mailbox, whisper; several separated by commas.
    #[arg(long, value_name = "ROLE[,ROLE]")]
    role: Roles,
    /// The directory to make. It must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Take all ports of the node from this one on: Whisper N, mixnet N+1, API N+2.
    #[arg(long, value_name = "N")]
    port_base: Option<u16>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let ports = match options.port_base {
        None => Ports::DEFAULT,
        Some(base) => Ports::from_base(base).ok_or_else(|| {
            let last = u16::MAX - (Ports::RESERVED - 1);
            Failure::new(
                Exit::Usage,
                format!("--port-base {base} cannot be used"),
                format!("a node takes {} ports from there on", Ports::RESERVED),
                format!("give a number from 1 to {last}"),
            )
        })?,
    };
    let keys = Keys::generate(&options.role, &mut keystore::system_random)?;
    let directory = make(&options.dir, &options.role, ports, &[], &keys)?;
    if options.json {
        let identity = id::identity(&directory)?;
        out::say(
            &json!({
                "dir": directory.path(),
                "config": directory.config(),
                "identity": identity,
            })
            .to_string(),
        );
    } else {
        explain(&options.dir, &options.role);
    }
    Ok(Exit::Ok)
}

/// Makes the directory, the keys and the configuration of one node.
pub(crate) fn make(
    path: &Path,
    roles: &Roles,
    ports: Ports,
    overrides: Overrides<'_>,
    keys: &Keys,
) -> Result<Directory, Failure> {
    let directory = Directory::create(path, roles)?;
    keys.save(&directory)?;
    let text = template::render(roles, ports, overrides);
    write_new(&directory.config(), text.as_bytes(), FILE_MODE)
        .map_err(|error| Failure::file(Exit::Config, "write", &directory.config(), &error))?;
    if roles.speaks_mix() {
        // An empty relay list, so that a node starts and says how many relays it misses.
        let list = directory.path().join("topology.json");
        write_new(&list, b"[]\n", FILE_MODE)
            .map_err(|error| Failure::file(Exit::Config, "write", &list, &error))?;
    }
    Ok(directory)
}

/// The next three commands.
fn explain(dir: &Path, roles: &Roles) {
    let dir = dir.display();
    out::say(&format!(
        "Made a node with the role {roles} in {dir}. Next:"
    ));
    if roles.has(Role::Edge) || roles.has(Role::Bridge) {
        out::say(&format!(
            "  cp topology.json {dir}/      # the relay list that your community uses"
        ));
    }
    if roles.has(Role::Bridge) || roles.has(Role::Whisper) {
        out::say(&format!(
            "  edit {dir}/config.toml       # name Whisper peers under [whisper] static_peers"
        ));
    }
    out::say(&format!("  ferry run --dir {dir}"));
    let what = if roles.has(Role::Edge) {
        "the enode to set in your client as its only Whisper peer and mailserver"
    } else if roles.is_called() {
        "the descriptor for everybody's relay list, and every address"
    } else {
        "the enode for its peers, and every address"
    };
    out::say(&format!("  ferry id --dir {dir}         # {what}"));
}
