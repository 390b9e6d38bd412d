#![allow(clippy::unwrap_used)]

use super::*;

fn one<T: for<'a> Argument<'a>>(params: &str) -> Result<T, String> {
    Arguments::only(Some(params)).map_err(|error| {
        assert_eq!(error.code, -32602);
        error.message
    })
}

#[test]
fn places_are_counted_as_go_ethereum_counts_them() {
    for (params, words) in [
        (None, "missing value for required argument 0"),
        (Some("null"), "missing value for required argument 0"),
        (Some("[]"), "missing value for required argument 0"),
        (Some("{}"), "non-array args"),
        (Some("\"x\""), "non-array args"),
        (Some("[\"a\",\"b\"]"), "too many arguments, want at most 1"),
        (
            Some("[5,6]"),
            "invalid argument 0: json: cannot unmarshal number into Go value of type string",
        ),
    ] {
        let refused = Arguments::only::<String>(params).unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (-32602, words));
    }
    assert!(Arguments::none(Some("[null]")).is_err());
    assert!(Arguments::none(None).is_ok() && Arguments::none(Some(" [ ] ")).is_ok());
}

#[test]
fn plain_values() {
    assert_eq!(one::<String>("[\"a\"]").unwrap(), "a");
    assert_eq!(one::<String>("[null]").unwrap(), "");
    assert_eq!(one::<u32>("[7]").unwrap(), 7);
    assert_eq!(one::<u32>("[null]").unwrap(), 0);
    assert_eq!(one::<f64>("[1e-7]").unwrap(), 1e-7);
    let wanted = "invalid argument 0: json: cannot unmarshal";
    for (params, words) in [
        ("[-1]", "number -1 into Go value of type uint32"),
        ("[1.5]", "number 1.5 into Go value of type uint32"),
        ("[1e3]", "number 1e3 into Go value of type uint32"),
        (
            "[5000000000]",
            "number 5000000000 into Go value of type uint32",
        ),
        ("[\"5\"]", "string into Go value of type uint32"),
        ("[true]", "bool into Go value of type uint32"),
        ("[[1]]", "array into Go value of type uint32"),
        ("[{}]", "object into Go value of type uint32"),
    ] {
        assert_eq!(one::<u32>(params).unwrap_err(), format!("{wanted} {words}"));
    }
    assert_eq!(
        one::<f64>("[1e400]").unwrap_err(),
        format!("{wanted} number 1e400 into Go value of type float64")
    );
}

#[test]
fn bytes() {
    assert_eq!(one::<Bytes>("[\"\"]").unwrap(), Bytes(vec![]));
    assert_eq!(one::<Bytes>("[\"0x\"]").unwrap(), Bytes(vec![]));
    assert_eq!(one::<Bytes>("[\"0X0aFF\"]").unwrap(), Bytes(vec![10, 255]));
    for (params, what) in [
        ("[\"0x123\"]", "hex string of odd length"),
        ("[\"zz\"]", "hex string without 0x prefix"),
        ("[\"0xzz\"]", "invalid hex string"),
        ("[null]", "non-string"),
        ("[5]", "non-string"),
        ("[{}]", "non-string"),
    ] {
        assert_eq!(
            one::<Bytes>(params).unwrap_err(),
            format!(
                "invalid argument 0: json: cannot unmarshal {what} into Go value of type hexutil.Bytes"
            )
        );
    }
}

#[test]
fn members_of_a_message() {
    let message: NewMessage = one(
        r#"[{"SYMKEYID":"a","symKeyID":"b","ttl":null,"topic":"0x01020304","payload":"0x05","powTarget":0.5,"unknown":[1]}]"#,
    )
    .unwrap();
    assert_eq!(message.sym_key_id, "b");
    assert_eq!((message.ttl, message.pow_target), (0, 0.5));
    assert_eq!(message.topic, Topic::new([1, 2, 3, 4]));
    assert_eq!(message.payload, Bytes(vec![5]));
    assert_eq!(one::<NewMessage>("[null]").unwrap().topic, Topic::default());
    let json = "json: cannot unmarshal";
    for (object, words) in [
        (
            "5",
            format!("{json} number into Go value of type whisperv6.NewMessage"),
        ),
        (
            "[]",
            format!("{json} array into Go value of type whisperv6.NewMessage"),
        ),
        (
            r#"{"ttl":"5"}"#,
            format!("{json} string into Go struct field NewMessage.ttl of type uint32"),
        ),
        (
            r#"{"payload":"12"}"#,
            format!(
                "{json} hex string without 0x prefix into Go struct field NewMessage.payload of type hexutil.Bytes"
            ),
        ),
        (
            r#"{"topic":5}"#,
            format!(
                "{json} number into Go struct field NewMessage.topic of type *whisperv6.TopicType"
            ),
        ),
        (
            r#"{"topic":"0x0102"}"#,
            "hex string has length 4, want 8 for Topic".to_owned(),
        ),
        (
            r#"{"topic":"0x010203045"}"#,
            "hex string of odd length".to_owned(),
        ),
        (
            r#"{"ttl":"5","sig":6}"#,
            format!("{json} string into Go struct field NewMessage.ttl of type uint32"),
        ),
        (
            r#"{"ttl":"5","topic":"zz"}"#,
            "hex string without 0x prefix".to_owned(),
        ),
    ] {
        let refused = one::<NewMessage>(&format!("[{object}]")).unwrap_err();
        assert_eq!(refused, format!("invalid argument 0: {words}"), "{object}");
    }
}

#[test]
fn criteria_of_a_filter() {
    let criteria: Criteria = one(
        r#"[{"privateKeyID":"a","topics":["0x00000000",null,"0x01020304"],"allowP2P":true,"minPow":0.5}]"#,
    )
    .unwrap();
    assert_eq!(criteria.topics.len(), 3);
    assert!(criteria.allow_p2p && criteria.sym_key_id.is_empty());
    let json = "json: cannot unmarshal";
    for (object, words) in [
        (
            r#"{"topics":"0x01020304"}"#,
            format!(
                "{json} string into Go struct field Criteria.topics of type []whisperv6.TopicType"
            ),
        ),
        (
            r#"{"topics":[5]}"#,
            format!(
                "{json} number into Go struct field Criteria.topics of type whisperv6.TopicType"
            ),
        ),
        (
            r#"{"topics":[""]}"#,
            "hex string has length 0, want 8 for Topic".to_owned(),
        ),
        (
            r#"{"allowP2P":1}"#,
            format!("{json} number into Go struct field Criteria.allowP2P of type bool"),
        ),
    ] {
        let refused = one::<Criteria>(&format!("[{object}]")).unwrap_err();
        assert_eq!(refused, format!("invalid argument 0: {words}"), "{object}");
    }
}
