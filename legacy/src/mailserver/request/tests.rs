use proptest::prelude::*;

use super::*;
use crate::shh::EnvelopeHash;

const NOW: u32 = 1_600_000_000;

fn request() -> Request {
    Request {
        lower: 1_599_990_000,
        upper: NOW,
        wanted: Wanted::ALL,
        limit: 100,
        cursor: None,
        batch: true,
    }
}

fn decode(text: &str) -> Result<(Form, Request), RequestError> {
    Request::decode(&hex::decode(text).unwrap())
}

#[test]
fn the_published_requests() {
    let ff = "ff".repeat(64);
    let six = format!("f84f845f5de8f0845f5e1000b840{ff}648001");
    let seven = format!("f850845f5de8f0845f5e1000b840{ff}c0648001");
    let plain = format!("f86fa0{}845f5de8f0845f5e10006480b840{ff}", "11".repeat(32));
    let id = MailId([0x11; 32]);
    for (form, text) in [(Form::Six, &six), (Form::Seven, &seven)] {
        assert_eq!(decode(text), Ok((form, request())));
        assert_eq!(&hex::encode(request().encode(form, id)), text);
    }
    let bytes = hex::decode(&plain).unwrap();
    assert_eq!(Request::decode_plain(&bytes), Ok((id, Ok(request()))));
    assert_eq!(hex::encode(request().encode(Form::Plain, id)), plain);
}

#[test]
fn the_raw_form_has_five_lengths() {
    let times = [1_599_990_000u32.to_be_bytes(), NOW.to_be_bytes()].concat();
    let bloom = [0x0f; 64];
    let cursor = Cursor::new(7, EnvelopeHash::new([9; 32]));
    let mut bytes = times.clone();
    let (form, short) = Request::decode(&bytes).unwrap();
    assert_eq!(form, Form::Raw);
    assert!(short.wanted.bloom.is_full() && !short.batch && short.limit == 0);
    bytes.extend(bloom);
    assert_eq!(
        Request::decode(&bytes).unwrap().1.wanted.bloom,
        Bloom::new(bloom)
    );
    bytes.extend(5u32.to_be_bytes());
    assert_eq!(Request::decode(&bytes).unwrap().1.limit, 5);
    bytes.extend(cursor.to_bytes());
    assert_eq!(Request::decode(&bytes).unwrap().1.cursor, Some(cursor));
    bytes.extend([1, 2, 3, 4]);
    let whole_key = Request::decode(&bytes).unwrap().1;
    assert_eq!(whole_key.cursor, Some(cursor), "a cursor that is a key");
    bytes.push(0);
    for len in (0..8)
        .chain(9..72)
        .chain(73..76)
        .chain(77..112)
        .chain([113, 115, 117])
    {
        assert_eq!(
            Request::decode(&bytes[..len]),
            Err(RequestError::RawLength { len }),
            "{len}"
        );
    }
}

#[test]
fn what_is_left_open_is_filled_in() {
    let open = Request {
        upper: 0,
        limit: 0,
        ..request()
    };
    let checked = open.check(NOW, None).unwrap();
    assert_eq!((checked.upper, checked.limit), (NOW + 60, 1000));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let reversed = Request {
        lower: NOW + 1,
        ..request()
    };
    let error = RequestError::Range {
        lower: NOW + 1,
        upper: NOW,
    };
    assert_eq!(reversed.check(NOW, None), Err(error));
    let future = Request {
        lower: NOW + 61,
        upper: 0,
        ..request()
    };
    assert!(matches!(
        future.check(NOW, None),
        Err(RequestError::Range { .. })
    ));
    for limit in [1001, u32::MAX] {
        let greedy = Request { limit, ..request() };
        assert_eq!(greedy.check(NOW, None), Err(RequestError::Limit { limit }));
    }
    let error = RequestError::RangeTooBig {
        seconds: 10_000,
        max: 9_999,
    };
    assert_eq!(request().check(NOW, Some(9_999)), Err(error));
    assert!(request().check(NOW, Some(10_000)).is_ok());
}

#[test]
fn broken_fields_are_named() {
    let fields = |bloom: &[u8], cursor: &[u8]| {
        let list = List::new().uint(1).uint(2).bytes(bloom);
        Request::decode(&list.uint(1).bytes(cursor).boolean(true).finish())
    };
    let full = Bloom::FULL;
    assert_eq!(fields(&[], &[]), Err(RequestError::BloomEmpty));
    for len in [1, 63, 65] {
        assert_eq!(
            fields(&vec![1; len], &[]),
            Err(RequestError::BloomLength { len })
        );
    }
    for len in [1, 35, 37, 40] {
        assert_eq!(
            fields(full.as_bytes(), &vec![1; len]),
            Err(RequestError::CursorLength { len })
        );
    }
    let start = || List::new().uint(1).uint(2).bytes(full.as_bytes());
    let topics = |list: List| start().list(list).uint(1).bytes(&[]).boolean(true);
    assert_eq!(
        Request::decode(&topics(List::new().bytes(&[1; 5])).finish()),
        Err(RequestError::TopicLength { len: 5 })
    );
    let many = (0..=TOPICS_MAX).fold(List::new(), |list, _| list.bytes(&[1; 4]));
    assert_eq!(
        Request::decode(&topics(many).finish()),
        Err(RequestError::TooManyTopics)
    );
    for (list, error) in [
        (start(), RlpError::TooFewItems),
        (start().uint(1).bytes(&[]).uint(2), RlpError::NotBoolean),
        (
            start().uint(1).bytes(&[]).uint(1).uint(1),
            RlpError::TooManyItems,
        ),
        (
            start().uint(1 << 32).bytes(&[]).uint(1),
            RlpError::TooLarge { bytes: 5 },
        ),
    ] {
        assert_eq!(
            Request::decode(&list.finish()),
            Err(RequestError::Malformed(error))
        );
    }
    assert_eq!(
        Request::decode(&vec![0; REQUEST_LEN_MAX + 1]),
        Err(RequestError::TooLong {
            len: REQUEST_LEN_MAX + 1
        })
    );
}

#[test]
fn a_request_in_clear_needs_an_id_to_be_refused_by() {
    let plain = |id: &[u8], cursor: &[u8], bloom: &[u8]| {
        let list = List::new().bytes(id).uint(1).uint(2).uint(3);
        Request::decode_plain(&list.bytes(cursor).bytes(bloom).finish())
    };
    let id = MailId([4; 32]);
    assert_eq!(
        plain(&id.0, &[], &[]),
        Ok((id, Err(RequestError::BloomEmpty)))
    );
    assert_eq!(
        plain(&id.0, &[1; 37], &[1; 64]),
        Ok((id, Err(RequestError::CursorLength { len: 37 })))
    );
    assert_eq!(
        plain(&[4; 31], &[], &[1; 64]),
        Err(RlpError::Length {
            expected: 32,
            found: 31
        })
    );
    assert_eq!(Request::decode_plain(&[0xc0]), Err(RlpError::TooFewItems));
}

#[test]
fn topics_narrow_the_filter() {
    let [one, two] = ["one", "two"].map(Topic::of_name);
    let wanted = Wanted {
        bloom: Bloom::of_topics([one]),
        topics: vec![one, two],
    };
    assert!(wanted.takes(one) && !wanted.takes(two) && !wanted.takes(Topic::of_name("three")));
    assert!(Wanted::ALL.takes(two));
}

fn any_request() -> impl Strategy<Value = Request> {
    let cursor = prop::option::of((any::<u32>(), any::<[u8; 32]>()));
    let topics = prop::collection::vec(any::<[u8; 4]>(), 0..4);
    let bloom = prop::collection::vec(any::<u8>(), 64);
    (
        any::<u32>(),
        any::<u32>(),
        bloom,
        topics,
        any::<u32>(),
        cursor,
        any::<bool>(),
    )
        .prop_map(
            |(lower, upper, bloom, topics, limit, cursor, batch)| Request {
                lower,
                upper,
                wanted: Wanted {
                    bloom: Bloom::new(bloom.try_into().unwrap()),
                    topics: topics.into_iter().map(Topic::new).collect(),
                },
                limit,
                cursor: cursor.map(|(sent, hash)| Cursor::new(sent, EnvelopeHash::new(hash))),
                batch,
            },
        )
}

proptest! {
    #[test]
    fn every_form_comes_back(request in any_request()) {
        let id = MailId([3; 32]);
        let seven = request.encode(Form::Seven, id);
        prop_assert_eq!(Request::decode(&seven), Ok((Form::Seven, request.clone())));
        let mut request = request;
        request.wanted.topics.clear();
        let six = request.encode(Form::Six, id);
        prop_assert_eq!(Request::decode(&six), Ok((Form::Six, request.clone())));
        request.batch = true;
        let plain = request.encode(Form::Plain, id);
        prop_assert_eq!(Request::decode_plain(&plain), Ok((id, Ok(request.clone()))));
        request.batch = false;
        // Only times before 2072 have this form.
        request.lower %= 0xc000_0000;
        let raw = request.encode(Form::Raw, id);
        prop_assert_eq!(Request::decode(&raw), Ok((Form::Raw, request)));
    }

    #[test]
    fn no_bytes_are_fatal(mut bytes in prop::collection::vec(any::<u8>(), 0..200), flips in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4)) {
        let _ = (Request::decode(&bytes), Request::decode_plain(&bytes));
        bytes = request().encode(Form::Seven, MailId([0; 32]));
        for (at, byte) in flips {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        if let Ok((form, request)) = Request::decode(&bytes) {
            prop_assert_eq!(Request::decode(&request.encode(form, MailId([0; 32]))), Ok((form, request)));
        }
    }
}
