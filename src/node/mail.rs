//! The mailserver of a plain Whisper node: who may ask for what, and the archive.

use std::collections::BTreeSet;
use std::time::Duration;

use ::legacy::enode::Enode;
use ::legacy::identity::{NodeId, SecretKey};
use ::legacy::mailserver::server;
use ::legacy::shell::Mailserver;
use ::legacy::shh::seal::{OpenKey, SymKey};

use super::parts::enodes;
use crate::archive::RocksArchive;
use crate::config::Settings;
use crate::directory::Directory;
use crate::failure::StartError;

/// The mailserver, if this node is to be one.
pub(super) fn server(
    settings: &Settings,
    directory: &Directory,
    key: &SecretKey,
) -> Result<Option<Mailserver>, StartError> {
    let mail = &settings.mailserver;
    if !mail.enabled {
        return Ok(None);
    }
    let password = mail.password.as_ref();
    let password = password.map(|text| SymKey::from_password(text.as_bytes()));
    let server = server::Config {
        keys: password
            .map(OpenKey::Symmetric)
            .into_iter()
            .chain([OpenKey::Private(key.clone())])
            .collect(),
        plain: mail.plain,
        sync_with: ids("mailserver.sync_with", &mail.sync_with)?,
        sync_from: ids("mailserver.sync_from", &mail.sync_from)?,
        min_pow: settings.whisper.min_pow,
        envelope_min_pow: settings.whisper.min_pow,
        rate_limit: Duration::from_secs(mail.rate_limit_seconds.into()),
        range_max: mail.range_max_hours.map(|hours| hours * 60 * 60),
        retention: u32::from(mail.retention_days) * 24 * 60 * 60,
        bytes_max: mail.max_bytes,
        ..server::Config::default()
    };
    let archive = RocksArchive::open(&directory.archive())?;
    Ok(Some(Mailserver::new(server, Box::new(archive))))
}

fn ids(key: &'static str, texts: &[String]) -> Result<BTreeSet<NodeId>, StartError> {
    let enodes = enodes(key, texts)?;
    Ok(enodes.iter().map(Enode::node_id).collect())
}
