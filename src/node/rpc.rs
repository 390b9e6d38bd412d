//! JSON-RPC of this node: what it needs from the directory, and how it hears of envelopes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ::legacy::identity::SecretKey;
use ::legacy::shell as whisper_shell;
use ::legacy::shh::keyring::Keyring;
use zeroize::Zeroizing;

use super::parts::{SeedFor, Whisper, missing, seed};
use crate::config::Settings;
use crate::directory::{Directory, FILE_MODE, write_new};
use crate::failure::StartError;
use crate::identity::Identity;
use crate::keyring::{Vault, VaultError};
use crate::keystore::{Keys, system_random};
use crate::rpc::{About, Closed, Doors, Kept, Server};

/// Opens what is listened to; nothing where JSON-RPC is off.
pub(super) async fn open(settings: &Settings) -> Result<Option<Doors>, StartError> {
    let config = &settings.rpc.serve;
    if !config.is_on() {
        return Ok(None);
    }
    let closed = |closed: Closed| match (closed.key, closed.place.parse()) {
        ("http", Ok(address)) => StartError::Listen {
            purpose: "rpc.http",
            address,
            source: closed.source,
        },
        (_, Ok(address)) => StartError::Listen {
            purpose: "rpc.ws",
            address,
            source: closed.source,
        },
        (_, Err(_)) => StartError::Socket {
            path: closed.place.into(),
            source: closed.source,
        },
    };
    Doors::open(config).await.map(Some).map_err(closed)
}

/// Serves clients from now on.
pub(super) fn start(
    settings: &Settings,
    directory: &Directory,
    keys: &Keys,
    identity: &Identity,
    doors: Doors,
    whisper: &Whisper,
) -> Result<Server, StartError> {
    let token = match &settings.rpc.token_file {
        Some(path) => Some(token(path)?),
        None => None,
    };
    let mut keyring = Keyring::new(*seed(settings, SeedFor::Keyring)?);
    let vault = match &settings.rpc.keys_password_file {
        Some(path) => Some(vault(directory, path, &mut keyring)?),
        None => None,
    };
    let devp2p = keys.devp2p.as_ref().ok_or_else(|| missing("devp2p"))?;
    let key = SecretKey::from_bytes(devp2p.expose()).map_err(|error| StartError::Keys {
        name: "devp2p",
        why: error.to_string(),
    })?;
    let about = About {
        handle: whisper.handle.clone(),
        id: key.public().node_id(),
        enode: identity.enode.as_ref().and_then(|text| text.parse().ok()),
        record: identity.enr.clone(),
        listen: settings.whisper.listen,
        client_name: whisper_shell::Config::new(key).client_name,
        datadir: directory.path().to_owned(),
    };
    let kept = Kept {
        keyring,
        vault,
        seed: seed(settings, SeedFor::Inbox)?,
    };
    let filters = whisper.filters.clone();
    let serve = &settings.rpc.serve;
    Ok(Server::start(serve, doors, about, kept, token, filters))
}

/// The token of a file; a file that is not there is made.
fn token(path: &Path) -> Result<Zeroizing<String>, StartError> {
    match private_text(path) {
        Err(StartError::Secret { .. }) if !path.exists() => {}
        read => return read,
    }
    let failed = |why: String| StartError::Secret {
        path: path.to_owned(),
        why,
        what_to_do: "check the path in [rpc] token_file of config.toml".to_owned(),
    };
    let mut bytes = Zeroizing::new([0; 32]);
    system_random(&mut bytes).map_err(|failure| failed(failure.to_string()))?;
    let token = Zeroizing::new(hex::encode(*bytes));
    write_new(path, token.as_bytes(), FILE_MODE).map_err(|error| failed(error.to_string()))?;
    Ok(token)
}

/// Opens the keys that clients left here.
fn vault(
    directory: &Directory,
    password_file: &Path,
    keyring: &mut Keyring,
) -> Result<Vault, StartError> {
    let password = private_text(password_file)?;
    let path = directory.kept_keys();
    Vault::open(&path, password.as_bytes(), keyring).map_err(|error| {
        let what_to_do = match error {
            VaultError::Password => format!(
                "put the password of these keys into {}; without it they are lost: move the file away to start afresh",
                password_file.display()
            ),
            VaultError::Damaged(_) => {
                "restore it from a backup, or move it away to start without these keys".to_owned()
            }
            _ => "check the disk and the owner of the directory".to_owned(),
        };
        StartError::Secret {
            path,
            why: error.to_string(),
            what_to_do,
        }
    })
}

/// The text of a file that nobody else may read, without the line feed at its end.
fn private_text(path: &Path) -> Result<Zeroizing<String>, StartError> {
    let refused = |why: String, what_to_do: String| StartError::Secret {
        path: path.to_owned(),
        why,
        what_to_do,
    };
    let failed = |error: io::Error| {
        let what_to_do = "write the secret into it, on one line, with mode 600";
        refused(error.to_string(), what_to_do.to_owned())
    };
    let mode = fs::metadata(path).map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        return Err(refused(
            format!("its mode is {:o}: others may read it", mode & 0o777),
            format!("chmod 600 {}; and choose another secret", path.display()),
        ));
    }
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(failed)?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.len() > SECRET_LEN_MAX {
        return Err(refused(
            format!("it has {} bytes", line.len()),
            format!("write a secret of 1 to {SECRET_LEN_MAX} bytes into it"),
        ));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// Bytes of a token or a password: more is a mistake.
const SECRET_LEN_MAX: usize = 1024;
