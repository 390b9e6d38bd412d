//! Vectors of mailservers: `mail-request`, `mail-complete` and `mail-sync`. A field that is null or missing is not checked.
//!
//! ```text
//! mail-request
//!   input    payload; sealed (it was inside an envelope; else it is the form in clear); now (unix seconds; null: the numbers come out
//!            as they are, and are not judged); range_max (seconds)
//!   output   form (six, seven, raw, plain), id (32 bytes, or null), lower, upper, bloom, topics, limit, cursor (36 bytes, or none), batch
//!   reason   malformed, too_long, raw_length, range, range_too_big, bloom_empty, bloom_length, limit, cursor_length, topic_length,
//!            too_many_topics
//! mail-complete
//!   input    payload of code 125
//!   output   id, last (or null), cursor (or null), error (or null)
//!   reason   malformed, too_short, too_long
//! mail-sync
//!   input    code (123 or 124); payload
//!   output   of code 123 lower, upper, bloom, limit, cursor; of code 124 envelopes (their bytes), cursor, final, error
//!   reason   as mail-request, and too_many, text_too_long
//! ```

use serde_json::{Value, json};

use super::{Refusal, field, optional, refuse};
use crate::mailserver::exchange::{self, Response, ResponseError};
use crate::mailserver::request::{Form, MailId, Request, RequestError};
use crate::mailserver::response::{Completion, CompletionError};
use crate::mailserver::{Cursor, Wanted};
use crate::shh::wire::{SYNC_REQUEST, SYNC_RESPONSE};

pub(super) fn run(kind: &str, input: &Value) -> Option<Result<Value, Refusal>> {
    match kind {
        "mail-request" => Some(request(input)),
        "mail-complete" => Some(complete(input)),
        "mail-sync" => Some(sync(input)),
        _ => None,
    }
}

fn request(input: &Value) -> Result<Value, Refusal> {
    let payload = field(input, "payload")?;
    let sealed = optional(input, "sealed", Value::as_bool)?.unwrap_or(true);
    let refused = |error: RequestError| refuse(error.as_str());
    let (form, id, mut request) = if sealed {
        let (form, request) = Request::decode(&payload).map_err(refused)?;
        (form, None, request)
    } else {
        let (MailId(id), request) =
            Request::decode_plain(&payload).map_err(|_| refuse("malformed"))?;
        (Form::Plain, Some(id), request.map_err(refused)?)
    };
    let seconds = |name| -> Result<Option<u32>, Refusal> {
        let number = optional(input, name, Value::as_u64)?;
        number
            .map(|number| u32::try_from(number).map_err(|_| Refusal::INPUT))
            .transpose()
    };
    if let Some(now) = seconds("now")? {
        request = request.check(now, seconds("range_max")?).map_err(refused)?;
    }
    let Wanted { bloom, topics } = &request.wanted;
    let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
    Ok(json!({
        "form": form.as_str(),
        "id": id.map(hex::encode),
        "lower": request.lower,
        "upper": request.upper,
        "bloom": hex::encode(bloom.as_bytes()),
        "topics": topics,
        "limit": request.limit,
        "cursor": text(request.cursor),
        "batch": request.batch,
    }))
}

fn complete(input: &Value) -> Result<Value, Refusal> {
    let refused = |error: CompletionError| refuse(error.as_str());
    let completion = Completion::decode(&field(input, "payload")?).map_err(refused)?;
    let MailId(id) = completion.id();
    let (last, cursor, error) = match completion {
        Completion::Done { last, cursor, .. } => (last, cursor, None),
        Completion::Failed { text, .. } => (None, None, Some(text)),
    };
    Ok(json!({
        "id": hex::encode(id),
        "last": last.map(|last| last.to_string()),
        "cursor": cursor.map(|cursor| hex::encode(cursor.to_bytes())),
        "error": error,
    }))
}

fn sync(input: &Value) -> Result<Value, Refusal> {
    let payload = field(input, "payload")?;
    match input.get("code").and_then(Value::as_u64) {
        Some(SYNC_REQUEST) => {
            let refused = |error: RequestError| refuse(error.as_str());
            let request = exchange::decode_request(&payload).map_err(refused)?;
            Ok(json!({
                "lower": request.lower,
                "upper": request.upper,
                "bloom": hex::encode(request.wanted.bloom.as_bytes()),
                "limit": request.limit,
                "cursor": text(request.cursor),
            }))
        }
        Some(SYNC_RESPONSE) => {
            let refused = |error: ResponseError| refuse(error.as_str());
            let response = Response::decode(&payload).map_err(refused)?;
            let envelopes: Vec<String> = response.envelopes().map(hex::encode).collect();
            Ok(json!({
                "envelopes": envelopes,
                "cursor": text(response.cursor),
                "final": response.last,
                "error": response.error,
            }))
        }
        Some(_) | None => Err(Refusal::INPUT),
    }
}

fn text(cursor: Option<Cursor>) -> String {
    cursor.map_or(String::new(), |cursor| hex::encode(cursor.to_bytes()))
}
