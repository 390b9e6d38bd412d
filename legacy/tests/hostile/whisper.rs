//! A Whisper node on live sockets under hostile peers: each ends with the right Disconnect or a counted drop, and the
//! node goes on serving others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use legacy::enode::Enode;
use legacy::identity::SecretKey;
use legacy::limits::PACKET_LEN_MAX;
use legacy::now::Now;
use legacy::rlp::{self, List};
use legacy::rlpx::capability::SHH;
use legacy::rlpx::session::{self, Closed, Session};
use legacy::shell::{self, Event, Handle, Mailserver};
use legacy::shh::filter::{Filter, Filters, Via};
use legacy::shh::seal::{OpenKey, SymKey};
use legacy::shh::wire::{self, Status};
use legacy::shh::{self, Bloom, Draft, Envelope, EnvelopeHash, Topic, limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

// ---- A peer that says whatever it is told to --------------------------------------------------------

pub(super) struct Stranger {
    stream: TcpStream,
    session: Session,
    heard: VecDeque<Heard>,
    established: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Message(u64, Vec<u8>),
    Disconnect(u8),
    Eof,
}

impl Stranger {
    /// Connects up to the Hellos, and reads the node's Status.
    pub(super) async fn connect(to: &Enode) -> Stranger {
        let key = SecretKey::from_bytes(&random()).expect("a random key is in range");
        Stranger::connect_as(key, to).await
    }

    async fn connect_as(key: SecretKey, to: &Enode) -> Stranger {
        let stream = TcpStream::connect(to.tcp())
            .await
            .expect("the node listens");
        let config = session::Config {
            key,
            client_name: "stranger".to_owned(),
            capabilities: vec![SHH],
            packet_len_max: PACKET_LEN_MAX,
        };
        let session = Session::dial(now(), Arc::new(config), *to.public_key(), random());
        let mut stranger = Stranger {
            stream,
            session,
            heard: VecDeque::new(),
            established: false,
        };
        stranger.drain().await;
        while !stranger.established {
            stranger.read().await;
        }
        assert!(
            matches!(stranger.hear().await, Heard::Message(wire::STATUS, _)),
            "the node's status comes first"
        );
        stranger
    }

    /// The same, and says a Status that wants everything.
    pub(super) async fn friend(to: &Enode) -> Stranger {
        let mut stranger = Stranger::connect(to).await;
        stranger.say(wire::STATUS, &everything()).await;
        stranger
    }

    /// The same as somebody in particular.
    pub(super) async fn friend_as(key: SecretKey, to: &Enode) -> Stranger {
        let mut stranger = Stranger::connect_as(key, to).await;
        stranger.say(wire::STATUS, &everything()).await;
        stranger
    }

    pub(super) async fn say(&mut self, code: u64, payload: &[u8]) {
        self.session.handle(
            now(),
            session::Input::Send {
                capability: 0,
                code,
                payload,
            },
        );
        self.drain().await;
    }

    pub(super) async fn say_envelopes<'a>(
        &mut self,
        envelopes: impl IntoIterator<Item = &'a Envelope>,
    ) {
        let envelopes: Vec<&Envelope> = envelopes.into_iter().collect();
        let payload = wire::encode_envelopes(envelopes.iter().map(|envelope| &envelope.raw()[..]));
        self.say(wire::ENVELOPES, &payload).await;
    }

    /// The next thing that the node says.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            self.read().await;
        }
    }

    /// What ends the connection, whatever else is said before.
    pub(super) async fn last_word(&mut self) -> Heard {
        loop {
            match self.hear().await {
                Heard::Message(..) => {}
                end @ (Heard::Disconnect(_) | Heard::Eof) => return end,
            }
        }
    }

    /// Hashes of the next bundle.
    async fn bundle(&mut self) -> Vec<EnvelopeHash> {
        loop {
            match self.hear().await {
                Heard::Message(wire::ENVELOPES, payload) => {
                    let bundle =
                        wire::Envelopes::decode(&payload).expect("the node sends good bundles");
                    return bundle.iter().map(|outline| outline.hash()).collect();
                }
                Heard::Message(..) => {}
                end => panic!("the node left a good peer: {end:?}"),
            }
        }
    }

    pub(super) async fn read(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer))
            .await
            .expect("the node says something in time");
        match read {
            Ok(0) | Err(_) => self.heard.push_back(Heard::Eof),
            Ok(len) => self
                .session
                .handle(now(), session::Input::Bytes(&buffer[..len])),
        }
        self.drain().await;
    }

    async fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                // The node may have closed already; then reading will tell.
                session::Output::Write(bytes) => drop(self.stream.write_all(&bytes).await),
                session::Output::Identified(_) => self.session.handle(now(), session::Input::Admit),
                session::Output::Established(_) => self.established = true,
                session::Output::Message { code, payload, .. } => {
                    self.heard.push_back(Heard::Message(code, payload))
                }
                session::Output::Closed(Closed::Theirs(reason)) => {
                    self.heard.push_back(Heard::Disconnect(reason.code()))
                }
                session::Output::Closed(other) => panic!("our own end closed: {other:?}"),
            }
        }
    }
}

// ---- The node under attack ----------------------------------------------------------------------------

pub(super) struct Victim {
    pub(super) handle: Handle,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) enode: Enode,
}

impl Victim {
    pub(super) fn start(shh: shh::Config) -> Victim {
        Victim::with(shh, None)
    }

    pub(super) fn with(shh: shh::Config, mailserver: Option<Mailserver>) -> Victim {
        let key = SecretKey::from_bytes(&random()).expect("a random key is in range");
        let config = shell::Config {
            shh,
            mailserver,
            ..shell::Config::new(key)
        };
        let (handle, events, _task) = shell::spawn(config).expect("loopback has free ports");
        let enode = *handle.local_enode().expect("the node listens");
        Victim {
            handle,
            events,
            enode,
        }
    }

    /// Waits until this envelope is announced as new.
    pub(super) async fn accepts(&mut self, hash: EnvelopeHash) {
        loop {
            let event = timeout(PATIENCE, self.events.recv())
                .await
                .expect("the envelope is accepted in time");
            match event.expect("the node lives") {
                Event::Envelope { envelope, .. } if envelope.hash() == hash => return,
                _ => {}
            }
        }
    }

    async fn rejected(&self, reason: &str) -> u64 {
        self.handle.counters().await.shh.rejected[reason]
    }

    /// Others are still served: what one brings, the other gets.
    pub(super) async fn survives(&mut self) {
        let (mut bringer, mut getter) = (
            Stranger::friend(&self.enode).await,
            Stranger::friend(&self.enode).await,
        );
        let one = good(random::<8>().as_slice());
        bringer.say_envelopes([&one]).await;
        self.accepts(one.hash()).await;
        while !getter.bundle().await.contains(&one.hash()) {}
        self.handle.shutdown().await;
    }
}

/// How long anything may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const SUBPROTOCOL: Heard = Heard::Disconnect(0x10);

fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    Now {
        mono: Instant::now(),
        unix_ms: unix.as_millis() as u64,
    }
}

pub(super) fn unix_s() -> u32 {
    now().unix_s() as u32
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

pub(super) fn everything() -> Vec<u8> {
    Status {
        min_pow: 0.0,
        bloom: None,
        light: false,
        confirmations: false,
        rate_limits: None,
    }
    .encode()
}

/// An envelope that every node of the default configuration takes.
pub(super) fn good(data: &[u8]) -> Envelope {
    sealed(unix_s() + 50, 50, data)
}

fn sealed(expiry: u32, ttl: u32, data: &[u8]) -> Envelope {
    let draft = Draft::new(expiry, ttl, Topic::of_name("hostile"), data);
    draft.finish(
        draft
            .search(limits::MIN_POW, 10)
            .run(1 << 24, || false)
            .expect("a cheap target"),
    )
}

/// A list of items that are encoded already.
pub(super) fn list(items: &[&[u8]]) -> Vec<u8> {
    items
        .iter()
        .fold(List::new(), |list, item| list.raw(item))
        .finish()
}

// ---- Status ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn m10_bad_first_messages() {
    let mut victim = Victim::start(shh::Config::default());
    let pow = |pow: f64| wire::encode_pow(pow);
    let with_bloom = |len: usize| list(&[&[6], &[0x80], &rlp::encode_bytes(&vec![0xff; len])]);
    for (what, code, payload) in [
        ("a status that is no list", wire::STATUS, vec![0x06]),
        ("an empty status", wire::STATUS, vec![0xc0]),
        ("version 5", wire::STATUS, vec![0xc1, 0x05]),
        ("not a number", wire::STATUS, list(&[&[6], &pow(f64::NAN)])),
        (
            "infinite work",
            wire::STATUS,
            list(&[&[6], &pow(f64::INFINITY)]),
        ),
        ("negative work", wire::STATUS, list(&[&[6], &pow(-0.5)])),
        ("a bloom filter of 63 bytes", wire::STATUS, with_bloom(63)),
        ("a bloom filter of 65 bytes", wire::STATUS, with_bloom(65)),
        ("envelopes before the status", wire::ENVELOPES, vec![0xc0]),
        ("a mailserver request before the status", 126, vec![0xc0]),
        (
            "a bad requirement before the status",
            wire::POW_REQUIREMENT,
            pow(f64::NAN),
        ),
    ] {
        let mut stranger = Stranger::connect(&victim.enode).await;
        stranger.say(code, &payload).await;
        assert_eq!(stranger.last_word().await, SUBPROTOCOL, "{what}");
    }
    victim.survives().await;
}

#[tokio::test]
async fn m10_odd_but_harmless_first_messages() {
    let mut victim = Victim::start(shh::Config::default());
    let mut stranger = Stranger::connect(&victim.enode).await;
    stranger
        .say(wire::POW_REQUIREMENT, &wire::encode_pow(0.001))
        .await;
    stranger
        .say(wire::BLOOM_FILTER, &wire::encode_bloom(&Bloom::FULL))
        .await;
    stranger.say(wire::STATUS, &[0xc1, 0x06]).await;
    stranger.say(wire::STATUS, &[0xc1, 0x05]).await;
    for code in [4, 10, 13, 19, 21, 122, 123, 124, 125, 126, 127] {
        stranger.say(code, &[0xff; 100]).await;
    }
    let one = good(b"after all that");
    stranger.say_envelopes([&one]).await;
    victim.accepts(one.hash()).await;
    victim.survives().await;
}

#[tokio::test]
async fn m10_a_peer_without_a_status_is_left_after_ten_seconds() {
    let mut victim = Victim::start(shh::Config::default());
    let mut stranger = Stranger::connect(&victim.enode).await;
    let start = Instant::now();
    assert_eq!(stranger.last_word().await, SUBPROTOCOL);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(9), "left after {waited:?}");
    victim.survives().await;
}

// ---- Messages ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn m11_m15_malformed_messages_end_the_connection() {
    let mut victim = Victim::start(shh::Config::default());
    let (expiry, ttl) = (
        rlp::encode_uint(u64::from(unix_s() + 10)),
        rlp::encode_uint(10),
    );
    let (topic, data, nonce) = (
        rlp::encode_bytes(b"test"),
        rlp::encode_bytes(b"data"),
        rlp::encode_uint(1),
    );
    let bundle = |fields: &[&[u8]]| list(&[&list(fields)]);
    let mut deep = vec![0xc0];
    for _ in 0..10_000 {
        deep = list(&[&deep]);
    }
    let whole = bundle(&[&expiry, &ttl, &topic, &data, &nonce]);
    let mut trailing = whole.clone();
    trailing.push(0);
    let mut long_header = whole.clone();
    long_header[0] += 5;
    let good_one = good(b"in bad company");
    let envelopes = [
        ("not a list", vec![0x83, 1, 2, 3]),
        ("no list in the list", vec![0xc1, 0x01]),
        ("four fields", bundle(&[&expiry, &ttl, &topic, &data])),
        (
            "six fields",
            bundle(&[&expiry, &ttl, &topic, &data, &nonce, &nonce]),
        ),
        (
            "a topic of three bytes",
            bundle(&[&expiry, &ttl, &rlp::encode_bytes(b"tes"), &data, &nonce]),
        ),
        (
            "a topic of five bytes",
            bundle(&[&expiry, &ttl, &rlp::encode_bytes(b"tests"), &data, &nonce]),
        ),
        (
            "a leading zero",
            bundle(&[&expiry, &[0x82, 0, 10], &topic, &data, &nonce]),
        ),
        (
            "a byte behind a prefix",
            bundle(&[&expiry, &[0x81, 0x05], &topic, &data, &nonce]),
        ),
        (
            "a ttl of five bytes",
            bundle(&[&expiry, &[0x85, 1, 0, 0, 0, 0], &topic, &data, &nonce]),
        ),
        (
            "a nonce of nine bytes",
            bundle(&[&expiry, &ttl, &topic, &data, &rlp::encode_bytes(&[1; 9])]),
        ),
        ("ten thousand lists in each other", deep.clone()),
        (
            "the same in the place of the data",
            bundle(&[&expiry, &ttl, &topic, &deep, &nonce]),
        ),
        ("a header that promises too much", long_header),
        ("bytes after the end", trailing),
        (
            "a good envelope and a bad one",
            list(&[good_one.raw(), &[0xc0]]),
        ),
    ];
    let others = [
        (
            "a requirement in a list",
            wire::POW_REQUIREMENT,
            vec![0xc1, 0x80],
        ),
        ("an empty requirement", wire::POW_REQUIREMENT, vec![]),
        (
            "a requirement of nine bytes",
            wire::POW_REQUIREMENT,
            rlp::encode_bytes(&[1; 9]),
        ),
        (
            "a requirement that is no number",
            wire::POW_REQUIREMENT,
            wire::encode_pow(f64::NAN),
        ),
        ("an empty filter", wire::BLOOM_FILTER, vec![0x80]),
        (
            "a filter of 63 bytes",
            wire::BLOOM_FILTER,
            rlp::encode_bytes(&[1; 63]),
        ),
        (
            "a filter of 65 bytes",
            wire::BLOOM_FILTER,
            rlp::encode_bytes(&[1; 65]),
        ),
        ("a filter in a list", wire::BLOOM_FILTER, vec![0xc1, 0x80]),
    ];
    let envelopes = envelopes
        .into_iter()
        .map(|(what, payload)| (what, wire::ENVELOPES, payload));
    for (what, code, payload) in envelopes.chain(others) {
        let mut stranger = Stranger::friend(&victim.enode).await;
        stranger.say(code, &payload).await;
        assert_eq!(stranger.last_word().await, SUBPROTOCOL, "{what}");
    }
    assert_eq!(
        victim.handle.counters().await.pooled,
        0,
        "nothing of a bad bundle is kept"
    );
    victim.survives().await;
}

#[tokio::test]
async fn m12_unacceptable_envelopes_are_dropped_and_the_peer_stays() {
    let topic = Topic::of_name("wanted");
    let config = shh::Config {
        bloom: Some(Bloom::of_topics([topic, Topic::of_name("hostile")])),
        ..shh::Config::default()
    };
    let mut victim = Victim::start(config);
    let mut stranger = Stranger::friend(&victim.enode).await;
    let now = unix_s();
    let plain = |expiry: u32, ttl: u32| Draft::new(expiry, ttl, topic, b"data").finish(0);
    let unwanted = {
        let draft = Draft::new(now + 50, 50, Topic::of_name("unwanted"), b"data");
        draft.finish(
            draft
                .search(limits::MIN_POW, 10)
                .run(1 << 20, || false)
                .expect("a cheap target"),
        )
    };
    let lazy = {
        let draft = Draft::new(now + 50, 50, topic, &[7; 1_000]);
        (0..)
            .map(|nonce| draft.finish(nonce))
            .find(|envelope| envelope.zero_bits() == 0)
            .expect("half of all")
    };
    for (reason, envelope) in [
        // First: it would be very old if the machine took twenty seconds for the others.
        ("expired", plain(now - 2, 10)),
        ("zero_ttl", plain(now + 5, 0)),
        ("ttl_above_expiry", plain(now + 5, u32::MAX)),
        ("ttl_above_expiry", plain(5, 10)),
        ("ttl_above_expiry", plain(0, 10)),
        ("in_future", plain(u32::MAX, 10)),
        ("in_future", plain(now + 60, 10)),
        ("very_old", plain(now - 60, 10)),
        (
            "ttl_too_long",
            plain(now + limits::TTL_MAX, limits::TTL_MAX + 5),
        ),
        ("oversized", plain_of(now, limits::ENVELOPE_LEN_MAX - 19)),
        ("oversized", plain_of(now, 9 * 1024 * 1024)),
        ("low_pow", lazy),
        ("no_bloom_match", unwanted),
    ] {
        let before = victim.rejected(reason).await;
        let marker = good(random::<8>().as_slice());
        stranger.say_envelopes([&envelope, &marker]).await;
        victim.accepts(marker.hash()).await;
        assert_eq!(victim.rejected(reason).await, before + 1, "{reason}");
    }
    let empty = sealed(unix_s() + 50, 50, b"");
    stranger.say_envelopes([&empty]).await;
    victim.accepts(empty.hash()).await;
    victim.survives().await;
}

fn plain_of(now: u32, len: usize) -> Envelope {
    Draft::new(now + 20, 20, Topic::of_name("wanted"), &vec![7; len]).finish(0)
}

#[tokio::test]
async fn large_bundles_and_large_envelopes_pass() {
    let mut victim = Victim::start(shh::Config {
        min_pow: 0.0,
        ..shh::Config::default()
    });
    let mut stranger = Stranger::friend(&victim.enode).await;
    let largest = plain_of(unix_s(), limits::ENVELOPE_LEN_MAX - 40);
    let many: Vec<Envelope> = (0..30u8)
        .map(|n| Draft::new(unix_s() + 50, 50, Topic::default(), &vec![n; 100_000]).finish(0))
        .collect();
    stranger.say_envelopes(&many).await;
    stranger.say_envelopes([&largest]).await;
    victim.accepts(largest.hash()).await;
    assert_eq!(
        victim.handle.counters().await.pooled,
        31,
        "geth sends such bundles, and we stay"
    );
    // A late peer gets all of it, in packets that a receiver with a limit of a megabyte takes.
    let mut late = Stranger::friend(&victim.enode).await;
    let mut got = 0;
    while got < 31 {
        let Heard::Message(wire::ENVELOPES, payload) = late.hear().await else {
            panic!("only bundles are due")
        };
        let count = wire::Envelopes::decode(&payload)
            .expect("a good bundle")
            .count();
        assert!(
            payload.len() <= limits::PACKET_OUT_LEN_MAX || count == 1,
            "{count} envelopes in {} bytes",
            payload.len()
        );
        got += count;
    }
    victim.survives().await;
}

#[tokio::test]
async fn m12_repeated_lack_of_work_ends_the_connection() {
    let mut victim = Victim::start(shh::Config::default());
    let mut stranger = Stranger::friend(&victim.enode).await;
    let lazy = |n: u32| {
        let draft = Draft::new(
            unix_s() + 50,
            50,
            Topic::default(),
            &[n.to_be_bytes(); 200].concat(),
        );
        (0..)
            .map(|nonce| draft.finish(nonce))
            .find(|envelope| envelope.zero_bits() == 0)
            .expect("half of all")
    };
    let many: Vec<Envelope> = (0..=limits::LOW_POW_STRIKES_MAX).map(lazy).collect();
    stranger.say_envelopes(&many).await;
    assert_eq!(stranger.last_word().await, SUBPROTOCOL);
    victim.survives().await;
}

/// Four pools of distinct envelopes from one peer, while another brings a few. `make hostile` sends a million.
#[tokio::test]
async fn m13_envelopes_without_end_do_not_push_out_honest_ones() {
    const FLOOD: u64 = 200_000;
    const BUNDLE: u64 = 20_000;
    let mut victim = Victim::start(shh::Config {
        min_pow: 0.0,
        ..shh::Config::default()
    });
    let mut hostile = Stranger::connect(&victim.enode).await;
    let deaf = Status {
        min_pow: 0.0,
        bloom: Some(Bloom::EMPTY),
        light: false,
        confirmations: false,
        rate_limits: None,
    };
    hostile.say(wire::STATUS, &deaf.encode()).await;
    let mut honest = Stranger::connect(&victim.enode).await;
    honest.say(wire::STATUS, &deaf.encode()).await;
    let expiry = unix_s() + 600;
    let draft = Draft::new(expiry, 600, Topic::default(), b"");
    let one = sealed(unix_s() + 600, 600, b"honest");
    honest.say_envelopes([&one]).await;
    victim.accepts(one.hash()).await;
    // Whoever takes the node's events takes them: the flood must not be stopped by our own test.
    let mut events = std::mem::replace(&mut victim.events, mpsc::channel(1).1);
    let drain = tokio::spawn(async move {
        let mut accepted = 0u64;
        while let Some(event) = events.recv().await {
            accepted += u64::from(matches!(event, Event::Envelope { .. }));
            if accepted == FLOOD {
                return events;
            }
        }
        events
    });
    for start in (0..FLOOD).step_by(BUNDLE as usize) {
        let some: Vec<Envelope> = (start..start + BUNDLE)
            .map(|nonce| draft.finish(nonce))
            .collect();
        hostile.say_envelopes(&some).await;
        let counters = victim.handle.counters().await;
        assert!(
            counters.pooled <= limits::POOL_ENVELOPES_MAX
                && counters.pooled_bytes <= limits::POOL_BYTES_MAX
        );
    }
    let start = Instant::now();
    loop {
        let counters = victim.handle.counters().await.shh;
        let seen = counters.accepted + counters.rejected["pool_full"];
        if seen > FLOOD {
            assert!(
                counters.evicted + counters.rejected["pool_full"]
                    >= FLOOD - limits::POOL_ENVELOPES_MAX as u64
            );
            break;
        }
        assert!(
            start.elapsed() < 2 * PATIENCE,
            "{seen} of {FLOOD} after a minute"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A copy of the honest envelope is still a duplicate: it was not pushed out.
    let before = victim.handle.counters().await.shh.duplicates;
    honest.say_envelopes([&one]).await;
    let start = Instant::now();
    while victim.handle.counters().await.shh.duplicates == before {
        assert!(start.elapsed() < PATIENCE, "the copy is looked at in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drain.abort();
    victim.handle.shutdown().await;
}

// ---- What is inside ---------------------------------------------------------------------------------------

#[tokio::test]
async fn m14_hostile_plaintexts_open_to_nothing() {
    let mut victim = Victim::start(shh::Config::default());
    let mut stranger = Stranger::friend(&victim.enode).await;
    let key = [7; 32];
    let mut filters = Filters::new();
    let filter = Filter {
        key: OpenKey::Symmetric(SymKey::from_bytes(&key).expect("not all zero")),
        topics: [Topic::of_name("hostile")].into(),
        signer: None,
        min_pow: 0.0,
        direct: false,
    };
    filters.install(filter).expect("the first filter");
    let seal = |text: &[u8]| {
        let (mut data, nonce) = (text.to_vec(), random::<12>());
        Aes256Gcm::new(&key.into())
            .encrypt_in_place(&nonce.into(), &[], &mut data)
            .expect("a short text");
        good(&[data.as_slice(), nonce.as_slice()].concat())
    };
    let mut signed = vec![0x05, 5];
    signed.extend_from_slice(b"hello");
    signed.extend_from_slice(&[1; 64]);
    let with_v = |v: u8| [signed.as_slice(), &[v]].concat();
    for (what, text) in [
        ("nothing", vec![]),
        ("flags alone", vec![0x07]),
        ("a length of three with two left", vec![0x03, 1, 0]),
        ("a payload beyond the end", vec![0x01, 200, 1, 2]),
        (
            "a payload of sixteen megabytes",
            vec![0x03, 0xff, 0xff, 0xff, 0],
        ),
        ("signed, of 65 bytes", vec![0x04; 65]),
        ("signed, of 66 bytes", vec![0x04; 66]),
        (
            "a signed payload that reaches into the signature",
            [&[0x05, 60][..], &[1; 66]].concat(),
        ),
        ("v = 4", with_v(4)),
        ("v = 27", with_v(27)),
        (
            "r and s of zero",
            [&[0x05, 5][..], b"hello", &[0; 65]].concat(),
        ),
    ] {
        let envelope = seal(&text);
        stranger.say_envelopes([&envelope]).await;
        victim.accepts(envelope.hash()).await;
        assert_eq!(filters.open(&Arc::new(envelope), Via::Pool), [], "{what}");
    }
    let envelope = seal(&[&[0x01, 5][..], b"hello", &[0; 249]].concat());
    stranger.say_envelopes([&envelope]).await;
    victim.accepts(envelope.hash()).await;
    let opened = filters.open(&Arc::new(envelope), Via::Pool);
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].1.plaintext.payload, b"hello");
    victim.survives().await;
}
