//! Messages of mailservers.

use crate::mailserver::exchange::{self, Response};
use crate::mailserver::limits::LIMIT_MAX;
use crate::mailserver::request::{Form, MailId, Request};
use crate::mailserver::response::Completion;

/// A request, sealed or in clear, its completion, or a message between two mailservers.
pub fn mail(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else {
        return;
    };
    match choice % 5 {
        0 => sealed(payload),
        1 => plain(payload),
        2 => completion(payload),
        3 => {
            if let Ok(request) = exchange::decode_request(payload) {
                within_bounds(&request);
                assert_eq!(exchange::encode_request(&request), payload);
            }
        }
        _ => response(payload),
    }
}

fn sealed(payload: &[u8]) {
    let Ok((form, request)) = Request::decode(payload) else {
        return;
    };
    let again = request.encode(form, MailId([0; 32]));
    // From 2072 on a raw time begins like a list, and what is left out of the rest may make it one.
    let ambiguous = form == Form::Raw && request.lower >= LIST_FROM;
    assert!(ambiguous || Request::decode(&again) == Ok((form, request.clone())));
    checked(request);
}

fn plain(payload: &[u8]) {
    if let Ok((id, Ok(request))) = Request::decode_plain(payload) {
        let again = request.encode(Form::Plain, id);
        assert_eq!(Request::decode_plain(&again), Ok((id, Ok(request.clone()))));
        checked(request);
    }
}

fn checked(request: Request) {
    let asked = request.clone();
    if let Ok(request) = request.check(NOW, Some(RANGE_MAX)) {
        within_bounds(&request);
        assert!(request.upper - request.lower <= RANGE_MAX);
        assert_eq!(
            (request.lower, &request.wanted),
            (asked.lower, &asked.wanted)
        );
    }
}

fn within_bounds(request: &Request) {
    assert!((1..=LIMIT_MAX).contains(&request.limit));
    assert!(request.lower <= request.upper);
}

fn completion(payload: &[u8]) {
    let Ok(completion) = Completion::decode(payload) else {
        return;
    };
    let again = Completion::decode(&completion.encode());
    match &completion {
        // What was no text has been replaced by something longer.
        Completion::Failed { text, .. } if text.contains('\u{fffd}') => {}
        // A name that begins like a failure reads as one as soon as something follows it.
        Completion::Done { id, .. } if id.0.starts_with(b"ERROR=") => {}
        Completion::Failed { .. } | Completion::Done { .. } => assert_eq!(again, Ok(completion)),
    }
}

fn response(payload: &[u8]) {
    let Ok(response) = Response::decode(payload) else {
        return;
    };
    assert_eq!(response.envelopes().count(), response.count);
    assert!(response.count <= LIMIT_MAX as usize);
    if !response.error.contains('\u{fffd}') {
        let again = exchange::encode_response(
            response.envelopes(),
            response.cursor,
            response.last,
            &response.error,
        );
        assert_eq!(again, payload);
    }
}

/// The first time whose first byte is the prefix of a list.
const LIST_FROM: u32 = 0xc000_0000;
/// A clock for what is left open.
const NOW: u32 = 1_600_000_000;
/// A day.
const RANGE_MAX: u32 = 24 * 60 * 60;
