//! Positional arguments, read as strictly and refused in the same words as by go-ethereum.
//!
//! ```text
//! [ "0x…" ]                       every argument has its place, all are required
//! null instead of an argument     its zero: "", 0, false, an empty object
//! { "TTL": 5, "ttl": 6 }          names of members are found whatever their case, the last one wins, unknown ones are ignored
//! ```
//!
//! The words name Go's types ("json: cannot unmarshal string into Go value of type uint32"), because that is what clients
//! of `geth --shh` have in their logs and tests. Spec: Whisper v6 JSON-RPC, conventions.

use std::fmt;

use legacy::shh::Topic;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::Error;

/// The arguments of one call, in their order.
pub(crate) struct Arguments<'a> {
    values: std::vec::IntoIter<&'a RawValue>,
    taken: usize,
}

impl<'a> Arguments<'a> {
    /// The arguments of the text that stands at `params`.
    pub(crate) fn read(params: Option<&'a str>) -> Result<Self, Error> {
        let text = params.unwrap_or("null").trim();
        let values: Vec<&RawValue> = if text == "null" {
            Vec::new()
        } else {
            serde_json::from_str(text).map_err(|_| Error::arguments("non-array args"))?
        };
        Ok(Self {
            values: values.into_iter(),
            taken: 0,
        })
    }

    /// The next argument.
    pub(crate) fn next<T: Argument<'a>>(&mut self) -> Result<T, Error> {
        let place = self.taken;
        self.taken += 1;
        let raw = self.values.next().ok_or_else(|| {
            Error::arguments(format!("missing value for required argument {place}"))
        })?;
        T::read(raw, &Place::Argument)
            .map_err(|misfit| Error::arguments(format!("invalid argument {place}: {misfit}")))
    }

    /// There are no more.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        if self.values.next().is_none() {
            return Ok(());
        }
        let most = self.taken;
        let words = format!("too many arguments, want at most {most}");
        Err(Error::arguments(words))
    }

    /// The only argument.
    pub(crate) fn only<T: Argument<'a>>(params: Option<&'a str>) -> Result<T, Error> {
        let mut arguments = Self::read(params)?;
        let argument = arguments.next()?;
        arguments.end()?;
        Ok(argument)
    }

    /// No arguments at all.
    pub(crate) fn none(params: Option<&'a str>) -> Result<(), Error> {
        Self::read(params)?.end()
    }
}

/// A kind of argument.
pub(crate) trait Argument<'a>: Sized {
    /// Reads one.
    fn read(raw: &'a RawValue, place: &Place) -> Result<Self, Misfit>;
}

/// Where a value stands, for the words.
#[derive(Debug)]
pub(crate) enum Place {
    /// By itself.
    Argument,
    /// In an object: the type of the object, the name of the member.
    Member(&'static str, &'static str),
}

impl Place {
    fn misfit(&self, found: &str, wanted: &str) -> String {
        match self {
            Self::Argument => {
                format!("json: cannot unmarshal {found} into Go value of type {wanted}")
            }
            Self::Member(object, member) => format!(
                "json: cannot unmarshal {found} into Go struct field {object}.{member} of type {wanted}"
            ),
        }
    }
}

/// Why a value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It is of another kind. Go's decoder goes on and reports the first of these at the end…
    Kind(String),
    /// …unless a text cannot be parsed, which ends it at once.
    Text(String),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(words) | Self::Text(words) => f.write_str(words),
        }
    }
}

/// Go's word for what a value is.
fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        _ => "number",
    }
}

impl Argument<'_> for String {
    fn read(raw: &RawValue, place: &Place) -> Result<Self, Misfit> {
        text(raw, place, "string")
    }
}

fn text(raw: &RawValue, place: &Place, wanted: &str) -> Result<String, Misfit> {
    match kind(raw) {
        "null" => Ok(String::new()),
        // Half a surrogate pair is no text; Go puts a replacement in its place, and no name of ours has one.
        "string" => Ok(serde_json::from_str(raw.get()).unwrap_or_else(|_| '\u{fffd}'.to_string())),
        found => Err(Misfit::Kind(place.misfit(found, wanted))),
    }
}

/// The id of a subscription, a text of a type of its own.
#[derive(Debug)]
pub(crate) struct SubscriptionName;

impl Argument<'_> for SubscriptionName {
    fn read(raw: &RawValue, place: &Place) -> Result<Self, Misfit> {
        text(raw, place, "rpc.ID").map(|_| Self)
    }
}

impl Argument<'_> for u32 {
    fn read(raw: &RawValue, place: &Place) -> Result<Self, Misfit> {
        number(raw, place, "uint32", |text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        })
    }
}

impl Argument<'_> for f64 {
    fn read(raw: &RawValue, place: &Place) -> Result<Self, Misfit> {
        number(raw, place, "float64", |text| {
            text.parse().ok().filter(|number: &f64| number.is_finite())
        })
    }
}

fn number<T: Default>(
    raw: &RawValue,
    place: &Place,
    wanted: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Misfit> {
    match kind(raw) {
        "null" => Ok(T::default()),
        "number" => parse(raw.get())
            .ok_or_else(|| Misfit::Kind(place.misfit(&format!("number {}", raw.get()), wanted))),
        found => Err(Misfit::Kind(place.misfit(found, wanted))),
    }
}

impl Argument<'_> for bool {
    fn read(raw: &RawValue, place: &Place) -> Result<Self, Misfit> {
        match kind(raw) {
            "null" => Ok(false),
            "bool" => Ok(raw.get() == "true"),
            found => Err(Misfit::Kind(place.misfit(found, "bool"))),
        }
    }
}

/// Bytes: `0x` and hexadecimal digits; the empty text is no bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Argument<'_> for Bytes {
    fn read(raw: &RawValue, place: &Place) -> Result<Self, Misfit> {
        const TYPE: &str = "hexutil.Bytes";
        match (kind(raw), place) {
            ("null", Place::Member(..)) => Ok(Self::default()),
            ("string", _) => hexadecimal(raw.get().trim_matches('"'))
                .map(Self)
                .map_err(|what| Misfit::Text(place.misfit(what, TYPE))),
            _ => Err(Misfit::Text(place.misfit("non-string", TYPE))),
        }
    }
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, &'static str> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .ok_or("hex string without 0x prefix")?;
    if digits.len() % 2 != 0 {
        return Err("hex string of odd length");
    }
    hex::decode(digits).map_err(|_| "invalid hex string")
}

/// A topic: `0x` and eight hexadecimal digits. `pointer` is part of the words where the member may be absent.
fn topic(raw: &RawValue, place: &Place, pointer: &str) -> Result<Topic, Misfit> {
    match kind(raw) {
        "null" => Ok(Topic::default()),
        "string" => {
            let bytes = hexadecimal(raw.get().trim_matches('"'))
                .map_err(|what| Misfit::Text(what.to_owned()))?;
            let digits = 2 * bytes.len();
            <[u8; Topic::LEN]>::try_from(bytes)
                .map(Topic::new)
                .map_err(|_| {
                    let wanted = 2 * Topic::LEN;
                    Misfit::Text(format!(
                        "hex string has length {digits}, want {wanted} for Topic"
                    ))
                })
        }
        found => {
            let wanted = format!("{pointer}whisperv6.TopicType");
            Err(Misfit::Kind(place.misfit(found, &wanted)))
        }
    }
}

/// What `shh_post` is to send.
#[derive(Debug, Default)]
pub(crate) struct NewMessage {
    pub(crate) sym_key_id: String,
    pub(crate) pub_key: Bytes,
    pub(crate) sig: String,
    pub(crate) ttl: u32,
    pub(crate) topic: Topic,
    pub(crate) payload: Bytes,
    pub(crate) padding: Bytes,
    pub(crate) pow_time: u32,
    pub(crate) pow_target: f64,
    pub(crate) target_peer: String,
}

impl<'a> Argument<'a> for NewMessage {
    fn read(raw: &'a RawValue, place: &Place) -> Result<Self, Misfit> {
        let mut message = Self::default();
        object(raw, place, "whisperv6.NewMessage", |name, raw| {
            let one = |member| Place::Member("NewMessage", member);
            match name.to_ascii_lowercase().as_str() {
                "symkeyid" => set(&mut message.sym_key_id, raw, one("symKeyID")),
                "pubkey" => set(&mut message.pub_key, raw, one("pubKey")),
                "sig" => set(&mut message.sig, raw, one("sig")),
                "ttl" => set(&mut message.ttl, raw, one("ttl")),
                "topic" => topic(raw, &one("topic"), "*").map(|topic| message.topic = topic),
                "payload" => set(&mut message.payload, raw, one("payload")),
                "padding" => set(&mut message.padding, raw, one("padding")),
                "powtime" => set(&mut message.pow_time, raw, one("powTime")),
                "powtarget" => set(&mut message.pow_target, raw, one("powTarget")),
                "targetpeer" => set(&mut message.target_peer, raw, one("targetPeer")),
                _ => Ok(()),
            }
        })?;
        Ok(message)
    }
}

/// What a filter is to catch.
#[derive(Debug, Default)]
pub(crate) struct Criteria {
    pub(crate) sym_key_id: String,
    pub(crate) private_key_id: String,
    pub(crate) sig: Bytes,
    pub(crate) min_pow: f64,
    pub(crate) topics: Vec<Topic>,
    pub(crate) allow_p2p: bool,
}

impl<'a> Argument<'a> for Criteria {
    fn read(raw: &'a RawValue, place: &Place) -> Result<Self, Misfit> {
        let mut criteria = Self::default();
        object(raw, place, "whisperv6.Criteria", |name, raw| {
            let one = |member| Place::Member("Criteria", member);
            match name.to_ascii_lowercase().as_str() {
                "symkeyid" => set(&mut criteria.sym_key_id, raw, one("symKeyID")),
                "privatekeyid" => set(&mut criteria.private_key_id, raw, one("privateKeyID")),
                "sig" => set(&mut criteria.sig, raw, one("sig")),
                "minpow" => set(&mut criteria.min_pow, raw, one("minPow")),
                "topics" => topics(raw, &one("topics")).map(|topics| criteria.topics = topics),
                "allowp2p" => set(&mut criteria.allow_p2p, raw, one("allowP2P")),
                _ => Ok(()),
            }
        })?;
        Ok(criteria)
    }
}

fn topics(raw: &RawValue, place: &Place) -> Result<Vec<Topic>, Misfit> {
    match kind(raw) {
        "null" => Ok(Vec::new()),
        "array" => {
            let list: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            list.into_iter().map(|raw| topic(raw, place, "")).collect()
        }
        found => Err(Misfit::Kind(place.misfit(found, "[]whisperv6.TopicType"))),
    }
}

fn set<'a, T: Argument<'a>>(slot: &mut T, raw: &'a RawValue, place: Place) -> Result<(), Misfit> {
    if kind(raw) != "null" {
        *slot = T::read(raw, &place)?;
    }
    Ok(())
}

/// Reads the members of an object one by one. A member of the wrong kind is reported at the end, a bad text at once.
fn object<'a>(
    raw: &'a RawValue,
    place: &Place,
    wanted: &str,
    mut member: impl FnMut(&str, &'a RawValue) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    let members = match kind(raw) {
        "null" => return Ok(()),
        "object" => members(raw.get()).unwrap_or_default(),
        found => return Err(Misfit::Kind(place.misfit(found, wanted))),
    };
    let mut first = Ok(());
    for (name, raw) in members {
        match member(&name, raw) {
            Err(Misfit::Kind(words)) if first.is_ok() => first = Err(Misfit::Kind(words)),
            Ok(()) | Err(Misfit::Kind(_)) => {}
            Err(text) => return Err(text),
        }
    }
    first
}

/// The members of an object in their order, with repetitions; nothing where the text is no object.
pub(crate) fn members(text: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(text)
        .deserialize_map(Members)
        .ok()
}

#[cfg(test)]
mod tests;
