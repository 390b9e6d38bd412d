//! `ferry id`: what a node tells others, from its files; the node need not run.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use legacy::enr::Record;
use legacy::shell::discovery::read_file;

use super::out;
use crate::config::{ConfigError, Settings, Sources, load};
use crate::directory::Directory;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::keystore::Keys;

/// Prints the public side of a node as JSON: enode, node record, peer id, signed descriptor, every address.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The node's directory.
    #[arg(long, value_name = "DIR", env = "FERRY_DIR")]
    dir: PathBuf,
    /// JSON is what it prints anyway; accepted so that scripts can be uniform.
    #[arg(long, hide = true)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Exit, Failure> {
    let identity = identity(&Directory::open(&options.dir)?)?;
    let text = serde_json::to_string_pretty(&identity)
        .map_err(|error| Failure::bug("the identity cannot be written", error.to_string()))?;
    out::say(&text);
    Ok(Exit::Ok)
}

/// The public side of the node in `directory`.
pub(crate) fn identity(directory: &Directory) -> Result<Identity, Failure> {
    let settings = settings(directory, &[])?;
    let keys = Keys::load(directory, &settings.node.roles)?;
    let mut identity = Identity::new(&settings, &keys)?;
    // What discovery has learned about this node's own address is in the record of its last run.
    let stored = read_file(&directory.whisper_nodes()).record;
    let stored = stored.filter(|_| settings.whisper.discovery);
    let same_node = |record: &Record| {
        let first = identity.enr.as_deref().and_then(|enr| enr.parse().ok());
        first.is_some_and(|first: Record| first.public_key() == record.public_key())
    };
    if let Some(record) = stored.filter(same_node) {
        identity.enr = Some(record.to_string());
    }
    Ok(identity)
}

/// The settings of the node in `directory`, with `--set` options; checked.
pub(super) fn settings(directory: &Directory, set: &[String]) -> Result<Settings, Failure> {
    directory.roles()?;
    let path = directory.config();
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::file(Exit::Config, "read", &path, &error))?;
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let sources = Sources {
        file: Some((path, text)),
        environment,
        set: set.to_vec(),
    };
    let settings =
        load(&sources, directory.path()).map_err(|errors| config_failure(directory, &errors))?;
    directory.check_roles(&settings.node.roles)?;
    Ok(settings)
}

fn config_failure(directory: &Directory, errors: &[ConfigError]) -> Failure {
    let what = match errors.len() {
        1 => "the configuration has a mistake".to_owned(),
        count => format!("the configuration has {count} mistakes"),
    };
    let why: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Failure::new(
        Exit::Config,
        what,
        why.join("\n       "),
        format!(
            "correct it; {} explains every key",
            directory.config().display()
        ),
    )
}
