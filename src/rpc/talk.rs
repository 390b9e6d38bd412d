//! One message of a client and its answer, on whatever transport: go-ethereum's reading of JSON-RPC around the methods that
//! `jsonrpsee` holds.
//!
//! ```text
//! {"id": any scalar, "method": …, "params": […]}     a call; "jsonrpc" is not asked for, names of members in any case
//! without "id"                                       carried out, not answered
//! {"id": …, "result" or "error": …}                  an answer to nothing; ignored
//! [ …, … ]                                           a batch, one after the other; answered in one list
//! ```
//!
//! `jsonrpsee` refuses much of this before it asks anybody, in words of its own; that is why its own server is not used.
//! Its registry, its dispatch, its error objects and its subscriptions are.

use std::sync::Arc;

use jsonrpsee::core::server::MethodCallback;
use jsonrpsee::core::server::{
    BoundedSubscriptions, ConnectionId, MethodResponse, SubscriptionState,
};
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::types::{Id, Params, SubscriptionId};
use jsonrpsee::{Extensions, MethodSink, Methods};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::argument::{Arguments, SubscriptionName, members};
use super::error::Error;
use super::limits::{BATCH_MAX, OUTGOING_MAX, SUBSCRIPTIONS_MAX};

/// Notifications of one subscription.
pub(crate) type Notifications = mpsc::Receiver<Box<RawValue>>;

/// What a message leads to.
#[derive(Default)]
pub(crate) struct Outcome {
    /// What to answer, if anything.
    pub(crate) answer: Option<String>,
    /// Subscriptions that begin once the answer is on its way.
    pub(crate) begun: Vec<Notifications>,
}

/// One end of a conversation: its methods, its subscriptions.
pub(crate) struct Talk {
    methods: Methods,
    connection: ConnectionId,
    /// None where nothing can be sent but answers.
    subscriptions: Option<BoundedSubscriptions>,
}

impl Talk {
    /// A conversation in which subscriptions are possible. The number is that of no other.
    pub(crate) fn lasting(methods: Methods, number: usize) -> Self {
        Self {
            methods,
            connection: ConnectionId(number),
            subscriptions: Some(BoundedSubscriptions::new(SUBSCRIPTIONS_MAX)),
        }
    }

    /// A conversation of one question.
    pub(crate) fn single(methods: Methods) -> Self {
        Self {
            methods,
            connection: ConnectionId(0),
            subscriptions: None,
        }
    }

    /// Carries out a message, which is JSON.
    pub(crate) async fn hear(&self, text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        if !text.trim_start().starts_with('[') {
            outcome.answer = self.one(text, &mut outcome.begun).await;
            return outcome;
        }
        let batch: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        if batch.is_empty() {
            outcome.answer = Some(refusal("null", Error::request("empty batch")));
            return outcome;
        }
        if batch.len() > BATCH_MAX {
            let words = format!("{} calls in a batch of at most {BATCH_MAX}", batch.len());
            outcome.answer = Some(refusal("null", Error::request(words)));
            return outcome;
        }
        let mut answers = Vec::new();
        for one in batch {
            answers.extend(self.one(one.get(), &mut outcome.begun).await);
        }
        if !answers.is_empty() {
            outcome.answer = Some(format!("[{}]", answers.join(",")));
        }
        outcome
    }

    async fn one(&self, text: &str, begun: &mut Vec<Notifications>) -> Option<String> {
        let message = Message::read(text);
        let id = message.id.unwrap_or("null");
        let valid_id = message.id.is_some_and(|id| !id.starts_with(['{', '[']));
        match &message.method {
            Some(method) if message.id.is_none() => {
                if !method.ends_with("_subscription") {
                    let _ = self.call(method, message.params, begun).await;
                }
                None
            }
            Some(method) if valid_id => {
                let result = self.call(method, message.params, begun).await;
                Some(match result {
                    Ok(result) => {
                        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
                    }
                    Err(error) => refusal(id, error),
                })
            }
            None if valid_id && message.params.is_none() && message.is_answer => None,
            _ if valid_id => Some(refusal(id, Error::request("invalid request"))),
            _ => Some(refusal("null", Error::request("invalid request"))),
        }
    }

    /// Finds the method, and lets it work.
    async fn call(
        &self,
        name: &str,
        params: Option<&str>,
        begun: &mut Vec<Notifications>,
    ) -> Result<String, Error> {
        if let Some(namespace) = name.strip_suffix("_subscribe") {
            return self.subscribe(namespace, params, begun).await;
        }
        if name.ends_with("_unsubscribe") {
            return self.unsubscribe(params);
        }
        let unknown = || Error::unknown_method(name);
        let params = Params::new(params);
        let (id, extensions) = (Id::Null, Extensions::new());
        match self.methods.method(name).ok_or_else(unknown)? {
            MethodCallback::Sync(method) => result(&method(id, params, usize::MAX, extensions)),
            MethodCallback::Async(method) => {
                let params = params.into_owned();
                let answer = method(id, params, self.connection, usize::MAX, extensions);
                result(&answer.await)
            }
            MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_) => Err(unknown()),
        }
    }

    async fn subscribe(
        &self,
        namespace: &str,
        params: Option<&str>,
        begun: &mut Vec<Notifications>,
    ) -> Result<String, Error> {
        let Some(subscriptions) = &self.subscriptions else {
            return Err(Error::method("notifications not supported"));
        };
        let topic = subject(params)?;
        let offered = (namespace, topic.as_str()) == SUBSCRIPTION;
        let Some(MethodCallback::Subscription(method)) =
            self.methods.method("shh_subscribe").filter(|_| offered)
        else {
            return Err(Error::unknown_subscription(&topic, namespace));
        };
        let subscription_permit = subscriptions.acquire().ok_or_else(|| {
            Error::method(format!(
                "all {SUBSCRIPTIONS_MAX} subscriptions of this connection are taken"
            ))
        })?;
        let (notifications, mut received) = mpsc::channel(OUTGOING_MAX);
        let state = SubscriptionState {
            conn_id: self.connection,
            id_provider: &Names,
            subscription_permit,
        };
        let sink = MethodSink::new(notifications);
        let params = Params::new(params);
        let answer = method(Id::Null, params, sink, state, Extensions::new()).await;
        // The library puts the answer before the notifications; here it goes with the others.
        let _ = received.recv().await;
        let id = result(&answer)?;
        begun.push(received);
        Ok(id)
    }

    fn unsubscribe(&self, params: Option<&str>) -> Result<String, Error> {
        let _: SubscriptionName = Arguments::only(params)?;
        let unknown = || Error::method("subscription not found");
        let method = self.methods.method("shh_unsubscribe");
        let Some(MethodCallback::Unsubscription(method)) = method else {
            return Err(unknown());
        };
        let params = Params::new(params);
        let answer = method(
            Id::Null,
            params,
            self.connection,
            usize::MAX,
            Extensions::new(),
        );
        match result(&answer)?.as_str() {
            "true" => Ok("true".to_owned()),
            _ => Err(unknown()),
        }
    }
}

/// What a refused message is answered with; the id as the client wrote it.
pub(crate) fn refusal(id: &str, error: Error) -> String {
    let message = Value::String(error.message);
    let code = error.code;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#)
}

/// The members of a message that matter.
#[derive(Default)]
struct Message<'a> {
    id: Option<&'a str>,
    method: Option<String>,
    params: Option<&'a str>,
    is_answer: bool,
}

impl<'a> Message<'a> {
    /// What is no object has no members.
    fn read(text: &'a str) -> Self {
        let mut message = Self::default();
        for (name, raw) in members(text).unwrap_or_default() {
            match name.to_ascii_lowercase().as_str() {
                "id" => message.id = Some(raw.get()),
                "method" => {
                    let method: Option<String> = serde_json::from_str(raw.get()).ok();
                    message.method = method.filter(|method| !method.is_empty());
                }
                "params" => message.params = Some(raw.get()),
                "result" => message.is_answer = true,
                "error" => message.is_answer |= raw.get().starts_with('{'),
                _ => {}
            }
        }
        message
    }
}

/// The first argument of a subscription: what to hear of.
fn subject(params: Option<&str>) -> Result<String, Error> {
    let list: Vec<&RawValue> = serde_json::from_str(params.unwrap_or("null"))
        .map_err(|_| Error::arguments("non-array args"))?;
    list.first()
        .and_then(|first| serde_json::from_str(first.get()).ok())
        .ok_or_else(|| Error::arguments("expected subscription name as first argument"))
}

/// The result out of an answer of the library, or the error.
fn result(answer: &MethodResponse) -> Result<String, Error> {
    let text = answer.as_json().get();
    let find = |wanted: &str| {
        let members = members(text).unwrap_or_default();
        let found = members.into_iter().find(|(name, _)| name == wanted);
        found.map(|(_, raw)| raw.get())
    };
    if let Some(result) = find("result") {
        return Ok(result.to_owned());
    }
    let error: Value = find("error")
        .and_then(|error| serde_json::from_str(error).ok())
        .unwrap_or_default();
    let code = error["code"]
        .as_i64()
        .and_then(|code| i32::try_from(code).ok());
    let message = error["message"]
        .as_str()
        .unwrap_or("method handler crashed");
    Err(Error {
        code: code.unwrap_or_else(|| Error::node_stopped().code),
        message: message.to_owned(),
    })
}

/// Names of subscriptions as go-ethereum makes them: `0x` and 16 random bytes as a number.
#[derive(Debug)]
struct Names;

impl IdProvider for Names {
    fn next_id(&self) -> SubscriptionId<'static> {
        let mut bytes = [0; 16];
        // Without randomness nothing of this node would work; a name that repeats is refused by nobody.
        let _ = getrandom::fill(&mut bytes);
        SubscriptionId::Str(format!("{:#x}", u128::from_be_bytes(bytes)).into())
    }
}

/// The only thing to subscribe to: its namespace and its name.
const SUBSCRIPTION: (&str, &str) = ("shh", "messages");

/// Shared by everything that opens conversations: no two have one number.
#[derive(Debug, Default, Clone)]
pub(crate) struct Numbers(Arc<std::sync::atomic::AtomicUsize>);

impl Numbers {
    /// The next one.
    pub(crate) fn next(&self) -> usize {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}
