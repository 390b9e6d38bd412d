//! `statusd` of status-go as it is, with its mailserver on, asked over its local socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::devnet::wait_until;
use crate::driver::{binary, stderr_of};
use crate::geth::PATIENCE;

/// A running daemon.
pub(super) struct Statusd {
    child: Child,
    socket: BufReader<UnixStream>,
    folder: TempDir,
    /// Calls that are not waited for, and that the daemon would give up were they closed.
    syncs: Vec<UnixStream>,
    pub(super) enode: String,
    pub(super) id: String,
}

impl Statusd {
    /// Starts it on a free port of loopback, without a network. `extra` is merged into its Whisper section.
    pub(super) fn start(extra: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut whisper = json!({
            "Enabled": true, "EnableMailServer": true, "DataDir": path("wnode"),
            "MailServerPassword": super::PASSWORD, "MinimumPoW": 0.000_002,
        });
        for (key, value) in extra.as_object().into_iter().flatten() {
            whisper[key] = value.clone();
        }
        let config = json!({
            "NetworkID": 777, "DataDir": folder.path(), "KeyStoreDir": path("keystore"),
            "NoDiscovery": true, "Rendezvous": false, "ListenAddr": "127.0.0.1:0", "MaxPeers": 25,
            "APIModules": "shh,shhext,admin,web3", "LogLevel": "INFO", "LogEnabled": true,
            "LogToStderr": true, "LogFile": "",
            "ClusterConfig": {"Enabled": false, "BootNodes": [], "TrustedMailServers": [], "StaticNodes": [], "RendezvousNodes": []},
            "LightEthConfig": {"Enabled": false}, "UpstreamConfig": {"Enabled": false},
            "WhisperConfig": whisper,
        });
        std::fs::write(path("config.json"), config.to_string()).expect("the folder is ours");
        std::fs::create_dir(path("wnode")).expect("the folder is ours");
        let mut child = Command::new(binary("statusd"))
            .arg("-c")
            .arg(path("config.json"))
            .arg("-dir")
            .arg(folder.path())
            .arg("-ipc")
            .arg("-ipcfile")
            .arg(path("ipc"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr_of("statusd"))
            .spawn()
            .expect("statusd starts");
        let mut socket = None;
        wait_until("the socket of statusd", PATIENCE, || {
            assert!(
                child.try_wait().expect("a child").is_none(),
                "statusd has ended; its log is beside the test binary"
            );
            socket = UnixStream::connect(path("ipc")).ok();
            socket.is_some()
        });
        let socket = socket.expect("it was waited for");
        socket
            .set_read_timeout(Some(2 * PATIENCE))
            .expect("a time that is not zero");
        let mut statusd = Self {
            child,
            socket: BufReader::new(socket),
            folder,
            syncs: Vec::new(),
            enode: String::new(),
            id: String::new(),
        };
        let info = statusd.call("admin_nodeInfo", json!([]));
        let text = |field: &str| info[field].as_str().expect("a text").to_owned();
        (statusd.enode, statusd.id) = (text("enode"), text("id"));
        statusd
    }

    /// Calls a method, which must work.
    pub(super) fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params)
            .unwrap_or_else(|error| panic!("statusd: {method}: {error}"))
    }

    /// Asks a mailserver for a sync, and does not wait for what the daemon says about it: it starts to listen for the end of a sync when
    /// it has sent the request, and on loopback the end may have come by then.
    pub(super) fn start_sync(&mut self, request: &Value) {
        let mut socket =
            UnixStream::connect(self.folder.path().join("ipc")).expect("statusd listens");
        let params = json!([request]);
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": "shhext_syncMessages", "params": params});
        writeln!(socket, "{request}").expect("statusd listens");
        self.syncs.push(socket);
    }

    /// Calls a method; the error is what it says.
    pub(super) fn try_call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        writeln!(self.socket.get_mut(), "{request}").expect("statusd listens");
        let mut line = String::new();
        self.socket.read_line(&mut line).expect("statusd answers");
        let mut answer: Value = serde_json::from_str(&line).expect("statusd speaks JSON");
        match answer["error"]["message"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["result"].take()),
        }
    }
}

impl Drop for Statusd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
