//! What both nodes are asked: every method with good and bad arguments, and messages that are no calls.

use serde_json::{Value, json};

use super::{MIN_POW, Transport};

/// Every method with good and bad arguments, and messages that are no calls.
pub(super) fn transcript(transport: Transport) -> Vec<String> {
    let mut texts = Vec::new();
    let mut call = |method: &str, params: Value| {
        texts.push(
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(),
        );
    };
    let (zeros, ones) = ("00".repeat(32), "01".repeat(32));
    for method in [
        "shh_version",
        "shh_info",
        "admin_nodeInfo",
        "admin_datadir",
        "admin_peers",
    ] {
        call(method, json!([]));
        call(method, json!([1]));
        call(method, Value::Null);
        call(method, json!({}));
    }
    for method in [
        "web3_clientVersion",
        "shh_newKeyPair",
        "shh_newSymKey",
        "nope",
        "shh_nope",
        "shh_",
    ] {
        call(method, json!([]));
        call(method, json!([null]));
    }
    for value in [
        json!("0x"),
        json!("0x616263"),
        json!("0x123"),
        json!("zz"),
        json!("0xzz"),
        json!(5),
        Value::Null,
    ] {
        call("web3_sha3", json!([value]));
        call("shh_setBloomFilter", json!([value]));
        call("shh_addPrivateKey", json!([value]));
        call("shh_addSymKey", json!([value]));
    }
    for key in [&zeros, &ones, &"ff".repeat(32), &"01".repeat(33)] {
        call("shh_addPrivateKey", json!([format!("0x{key}")]));
        call("shh_addSymKey", json!([format!("0x{key}")]));
    }
    for value in [
        json!("x"),
        json!(-1),
        json!(1.5),
        json!(5_000_000_000_u64),
        json!(true),
        json!([1]),
        json!({}),
        json!(10_485_761),
        json!(1_048_576),
    ] {
        call("shh_setMaxMessageSize", json!([value]));
    }
    for value in [
        json!("x"),
        json!(-1),
        json!(-0.5),
        json!(true),
        json!(MIN_POW),
    ] {
        call("shh_setMinPoW", json!([value]));
    }
    for method in [
        "deleteKeyPair",
        "hasKeyPair",
        "getPublicKey",
        "getPrivateKey",
        "hasSymKey",
        "getSymKey",
        "deleteSymKey",
        "getFilterMessages",
        "deleteMessageFilter",
    ] {
        for params in [
            json!(["ab"]),
            json!([""]),
            json!([5]),
            json!([null]),
            json!([]),
            json!(["a", "b"]),
        ] {
            call(&format!("shh_{method}"), params);
        }
    }
    call("shh_getSymKey", json!(["$sym"]));
    call("shh_getSymKey", json!(["$zero"]));
    call("shh_hasKeyPair", json!(["$pair"]));
    call("shh_generateSymKeyFromPassword", json!(["test"]));
    call("shh_generateSymKeyFromPassword", json!([5]));
    for url in urls() {
        for method in ["shh_markTrustedPeer", "admin_removePeer"] {
            call(method, json!([url]));
        }
        call("shh_post", json!([message(json!({"targetPeer": url}))]));
    }
    for change in messages() {
        call("shh_post", json!([message(change)]));
    }
    for params in [
        json!(["x"]),
        json!([5]),
        json!([[]]),
        json!([null]),
        json!([]),
        json!([{}, {}]),
        json!([{}]),
    ] {
        call("shh_post", params.clone());
        call("shh_newMessageFilter", params);
    }
    for criteria in criteria() {
        call("shh_newMessageFilter", json!([criteria]));
        call("shh_subscribe", json!(["messages", criteria]));
    }
    for params in [
        json!([]),
        json!(["x"]),
        json!([5]),
        json!(["messages"]),
        json!(["messages", 5]),
    ] {
        call("shh_subscribe", params.clone());
        call("nope_subscribe", params);
    }
    for params in [json!([]), json!(["x"]), json!([5]), json!(["0x1", "x"])] {
        call("shh_unsubscribe", params);
    }
    texts.extend(FRAMES.iter().map(|text| (*text).to_owned()));
    if matches!(transport, Transport::Http) {
        texts.extend(UNANSWERED.iter().map(|text| (*text).to_owned()));
    }
    texts
}

/// A message, with some members changed; a member that becomes `"-"` is left out.
pub(super) fn message(change: Value) -> Value {
    let mut message = json!({
        "symKeyID": "$sym", "ttl": 20, "topic": "0x01020304", "payload": "0x1234", "powTime": 10, "powTarget": MIN_POW,
    });
    for (name, value) in change.as_object().expect("members") {
        if value == "-" {
            message.as_object_mut().expect("members").remove(name);
        } else {
            message[name] = value.clone();
        }
    }
    message
}

fn messages() -> Vec<Value> {
    let mut changes = vec![
        json!({}),
        json!({"pubKey": "$public"}),
        json!({"symKeyID": "-", "pubKey": "$public"}),
        json!({"symKeyID": "-", "pubKey": "$public", "topic": "-", "sig": "$pair"}),
        json!({"symKeyID": "-", "pubKey": "0x04"}),
        json!({"symKeyID": "-", "pubKey": "zz"}),
        json!({"symKeyID": "-", "pubKey": 5}),
        json!({"powTime": 0}),
        json!({"powTime": 0, "powTarget": 0}),
        json!({"powTarget": MIN_POW / 2.0}),
        json!({"powTarget": -1, "powTime": 1}),
        json!({"powTarget": 1e9, "powTime": 1}),
        json!({"unknown": [1]}),
    ];
    let values = [
        json!("-"),
        Value::Null,
        json!(5),
        json!(-1),
        json!(1.5),
        json!("abc"),
        json!("0x12"),
        json!("0x123"),
        json!([1]),
        json!({}),
        json!(true),
    ];
    for member in [
        "symKeyID",
        "sig",
        "ttl",
        "topic",
        "payload",
        "padding",
        "powTime",
        "powTarget",
        "targetPeer",
    ] {
        for value in &values {
            let unusual = (member == "ttl" || member == "powTarget") && *value == json!(5);
            if !unusual {
                changes.push(json!({member: value}));
            }
        }
    }
    for topic in ["0x00000000", "0x0102030405", "01020304", "0x0102030z", ""] {
        changes.push(json!({"topic": topic}));
    }
    changes.push(json!({"symKeyID": "$zero"}));
    changes
}

fn criteria() -> Vec<Value> {
    let mut list = vec![
        json!({}),
        json!({"symKeyID": "$sym", "privateKeyID": "$pair"}),
        json!({"symKeyID": "x"}),
        json!({"symKeyID": "x", "topics": ["0x01020304"]}),
        json!({"symKeyID": "$zero", "topics": ["0x01020304"]}),
        json!({"privateKeyID": "x"}),
        json!({"symKeyID": "$sym", "sig": "0x04", "topics": ["0x01020304"]}),
    ];
    for (member, values) in [
        (
            "sig",
            vec![
                json!("0x04"),
                json!("zz"),
                json!(5),
                json!("$public"),
                json!(""),
            ],
        ),
        ("minPow", vec![json!("x"), json!(-1), json!(true)]),
        (
            "topics",
            vec![
                json!("0x01020304"),
                json!(["0x0102"]),
                json!([5]),
                json!([""]),
                json!([null]),
                Value::Null,
                json!([]),
            ],
        ),
        ("allowP2P", vec![json!(1), json!("x")]),
    ] {
        for value in values {
            list.push(json!({"privateKeyID": "$pair", member: value}));
        }
    }
    list
}

fn urls() -> Vec<Value> {
    let key = "ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";
    let of = |rest: &str| json!(format!("enode://{rest}"));
    vec![
        json!("x"),
        json!("http://x"),
        of(""),
        of(key),
        of(&format!("{key}@127.0.0.1:30303")),
        of(&format!("{key}@127.0.0.1")),
        of(&format!("{key}@127.0.0.1:99999")),
        of(&format!("{}@127.0.0.1:1", &key[2..])),
        of("zz@127.0.0.1:1"),
        of(&format!("{}@127.0.0.1:1", "00".repeat(64))),
        of("127.0.0.1:1"),
        of(&format!("{key}@127.0.0.1:1?discport=x")),
        of(&format!("{key}@[::1]:1")),
        json!(5),
    ]
}

/// Messages that are answered, and odd.
const FRAMES: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":1}"#,
    "{}",
    "[]",
    "[1]",
    "[{}]",
    r#"[{},5,{"id":3},{"id":4,"method":"shh_version"}]"#,
    r#"[{"id":1,"method":"shh_version"},{"method":"shh_version"},{"id":2,"method":"nope"}]"#,
    r#"{"id":1,"method":"shh_version"}"#,
    r#"{"jsonrpc":5,"id":1,"method":"shh_version"}"#,
    r#"{"id":1.5,"method":"shh_version"}"#,
    r#"{"id":true,"method":"shh_version"}"#,
    r#"{"id":-1,"method":"shh_version"}"#,
    r#"{"id":"a","method":"shh_version"}"#,
    r#"{"id":null,"method":"shh_version"}"#,
    r#"{"id":{},"method":"shh_version"}"#,
    r#"{"id":[1],"method":"shh_version"}"#,
    r#"{"id":1,"method":5}"#,
    r#"{"id":1,"method":""}"#,
    r#"{"id":1,"method":"shh_version","params":"x"}"#,
    r#"{"ID":7,"METHOD":"shh_version"}"#,
    r#"{"id":1,"id":2,"method":"shh_version"}"#,
];

/// Messages without an answer, which only HTTP shows.
const UNANSWERED: &[&str] = &[
    "",
    r#"{"method":"shh_version"}"#,
    r#"[{"method":"shh_version"}]"#,
    r#"{"id":1,"result":5}"#,
    r#"{"id":1,"error":{"code":1,"message":"x"}}"#,
    r#"{"method":"shh_subscription","params":{}}"#,
    r#"{"id":1,"#,
    "x",
];

/// Messages that end a lasting connection.
pub(super) const BROKEN: &[&str] = &[
    "x",
    "}",
    r#"{"a" 5}"#,
    r#"{"a":x}"#,
    "{5}",
    r#"{"a":1,}"#,
    "[1,]",
    "[1 2]",
    "-x",
    r#"{"a":tru }"#,
];
