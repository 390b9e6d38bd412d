//! A program that was written for `geth --shh`: the npm package web3-shh, as it is, asks go-ethereum and `ferry run --role whisper` the same things.
//!
//! `tests/interop/web3/transcript.js` prints what each answers, errors included, and the answers are compared field by field. What a node makes up or
//! measures is compared by its kind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::rpc::{Endpoints, Ferry, Side, Transport, geth, kinds, meet, shape};

/// Members of answers that differ from node to node, or from moment to moment.
const MADE_UP: &[&str] = &[
    "memory",
    "messages",
    "timestamp",
    "pow",
    "hash",
    "padding",
    "sig",
    "recipientPublicKey",
];

/// Two digits for each byte, and 0x before them.
const PUBLIC_KEY_LEN: usize = 2 + 2 * 65;

/// What the program prints about one node or two.
fn transcript(urls: &[&str]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/web3/transcript.js");
    let mut program = Command::new("node");
    program.env("NODE_PATH", packages()).arg(script).args(urls);
    let output = program.stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("node does not start ({error}); run: apt-get install -y nodejs npm")
    });
    assert!(output.status.success(), "{program:?}: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let read = |line| serde_json::from_str(line).expect("it prints JSON");
    text.lines().map(read).collect()
}

fn packages() -> PathBuf {
    let folder = std::env::var_os("FERRY_INTEROP_DIR");
    let folder = folder.expect("FERRY_INTEROP_DIR is not set: run the tests by `make test`");
    let packages = Path::new(&folder).join("web3/node_modules");
    let found = packages.join("web3-shh").exists();
    assert!(found, "web3-shh is missing: run `make interop`");
    packages
}

/// An answer without what is a node's own.
fn view(line: &Value) -> Value {
    match line {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let made_up = MADE_UP.contains(&name.as_str());
                let value = if made_up { kinds(value) } else { view(value) };
                (name.clone(), value)
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(view).collect(),
        Value::String(text) if text.starts_with("0x04") && text.len() == PUBLIC_KEY_LEN => {
            json!("a public key")
        }
        other => shape(other),
    }
}

fn compare(ours: &[Value], theirs: &[Value]) {
    for (ours, theirs) in ours.iter().zip(theirs) {
        if ours["args"] == json!(["$known"]) {
            assert_eq!(ours, theirs, "this key is the same for both");
        }
        assert_eq!(view(ours), view(theirs), "\n ours {ours}\n theirs {theirs}");
    }
    assert_eq!(ours.len(), theirs.len());
}

fn url(endpoints: &Endpoints, transport: Transport) -> &str {
    match transport {
        Transport::Http => &endpoints.http,
        Transport::Ws => &endpoints.ws,
        Transport::Ipc => panic!("the program speaks HTTP and WebSocket"),
    }
}

#[test]
fn every_answer_to_web3_is_that_of_go_ethereum() {
    let folder = tempfile::tempdir().expect("a directory");
    let (_driver, theirs) = geth(folder.path());
    let ferry = Ferry::start(2_300);
    for transport in [Transport::Http, Transport::Ws] {
        let ours = transcript(&[url(&ferry.endpoints, transport)]);
        let theirs = transcript(&[url(&theirs, transport)]);
        compare(&ours, &theirs);
        let of = |name: &str| ours.iter().filter(|line| !line[name].is_null()).count();
        // What would be missing if the program went wrong in the same way at both.
        assert!(of("result") > 40 && of("refused") > 60, "{transport:?}");
        assert_eq!(of("heard"), usize::from(matches!(transport, Transport::Ws)));
    }
}

#[test]
fn messages_of_web3_cross_between_the_two() {
    let folder = tempfile::tempdir().expect("a directory");
    let (_driver, theirs) = geth(folder.path());
    let ferry = Ferry::start(2_400);
    let [mut geth, mut own] =
        [&theirs, &ferry.endpoints].map(|side| Side::new(side.clone(), Transport::Http));
    meet(&mut geth, &mut own, &ferry);
    let [ours, theirs] = [&ferry.endpoints, &theirs].map(|side| url(side, Transport::Ws));
    let out = transcript(&[ours, theirs]);
    let back = transcript(&[theirs, ours]);
    compare(&out, &back);
    for lines in [out, back] {
        let heard = lines.iter().find(|line| !line["heard"].is_null());
        let heard = heard.expect("the subscription hears the private message");
        assert_eq!(heard["heard"]["payload"], "0x74776f");
        assert_eq!(heard["heard"]["padding"], "0x0102");
        let payloads: Vec<&Value> = lines
            .iter()
            .filter(|line| line["call"] == "getFilterMessages")
            .map(|line| &line["result"][0]["payload"])
            .collect();
        assert_eq!(payloads, [&json!("0x6f6e65"), &json!("0x74776f")]);
    }
}
