use proptest::prelude::*;

use super::*;
use crate::directory::registry::tests::said;

fn state() -> State {
    State {
        unix_seconds: 1_700_000_000,
        epoch: 118_055,
        root: Some((Standing::Settled, [7; 32])),
        registry: [8; 16],
    }
}

fn requests() -> Vec<Request> {
    vec![
        Request::Hello {
            state: state(),
            epoch: 9,
        },
        Request::Summary {
            from: 3,
            buckets: (0..BUCKETS).map(|n| [n as u8; 8]).collect(),
        },
        Request::Swap {
            wants: vec![said(1, 7, 0).peer()],
            gives: vec![said(2, 7, 0).to_bytes()],
        },
        Request::Fetch {
            epoch: 7,
            from: 128,
        },
    ]
}

fn responses() -> Vec<Response> {
    let descriptors = vec![said(1, 7, 0).to_bytes(), said(2, 7, 0).to_bytes()];
    vec![
        Response::State(State {
            root: None,
            ..state()
        }),
        Response::Entries {
            buckets: vec![1, 255],
            mentions: vec![Mention {
                peer: said(1, 7, 0).peer(),
                epoch: 7,
                serial: 1,
                tag: [5; 4],
            }],
        },
        Response::Descriptors(descriptors.clone()),
        Response::Page {
            epoch: 7,
            young: true,
            total: 2,
            from: 0,
            descriptors,
        },
        Response::Refused(Refused::NoSet),
    ]
}

#[test]
fn messages_survive_and_no_prefix_of_them_does() {
    for request in requests() {
        let bytes = request.encode();
        assert!(bytes.len() <= MESSAGE_MAX);
        assert_eq!(Request::decode(&bytes), Ok(request));
        for len in 0..bytes.len() {
            assert!(Request::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
        let more = [&bytes[..], &[0]].concat();
        assert_eq!(Request::decode(&more), Err(WireError::Trailing(1)));
    }
    for response in responses() {
        let bytes = response.encode();
        assert!(bytes.len() <= MESSAGE_MAX);
        assert_eq!(Response::decode(&bytes), Ok(response));
        for len in 0..bytes.len() {
            assert!(Response::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
    }
}

/// Equal registries find out in about a hundred bytes.
#[test]
fn hello_is_short() {
    let hello = requests().remove(0).encode().len();
    let answer = Response::State(state()).encode().len();
    assert_eq!((hello, answer), (62, 58));
}

#[test]
fn the_longest_messages_fit_their_bound() {
    let longest = vec![0; DESCRIPTOR_LEN_MAX];
    let page = Response::Page {
        epoch: 1,
        young: false,
        total: 1,
        from: 0,
        descriptors: vec![longest.clone(); PAGE_MAX],
    };
    let answer = Response::Descriptors(vec![longest; ANSWER_MAX]);
    assert!(page.encode().len() <= MESSAGE_MAX && answer.encode().len() <= MESSAGE_MAX);
}

#[test]
fn lists_that_are_too_long_are_refused_before_they_are_read() {
    let mut swap = vec![SWAP];
    swap.extend((SWAP_MAX as u16 + 1).to_be_bytes());
    assert_eq!(
        Request::decode(&swap),
        Err(WireError::TooMany {
            count: SWAP_MAX + 1,
            max: SWAP_MAX
        })
    );
    assert_eq!(Request::decode(&[9]), Err(WireError::Kind(9)));
    assert_eq!(Response::decode(&[REFUSED, 9]), Err(WireError::Flag));
}

proptest! {
    #[test]
    fn whatever_decodes_encodes_to_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..700), kind in 0usize..9) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = [HELLO, SUMMARY, SWAP, FETCH, STATE, ENTRIES, DESCRIPTORS, PAGE, REFUSED][kind];
        }
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(response) = Response::decode(&bytes) {
            prop_assert_eq!(response.encode(), bytes);
        }
    }
}
