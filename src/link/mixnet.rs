//! Objects and reply blocks of the mixnet, in the words of the bridge.

use std::time::Duration;

use ::mixnet::PeerKey;
use ::mixnet::fragment::Object as Packed;
use ::mixnet::mailbox::Event::{Found, Left, Lost, Skipped};
use ::mixnet::mailbox::{ChainKey, Label, LeaveError};
use ::mixnet::send_queue::Urgency;
use ::mixnet::shell::{Arrival, Event, Handle};
use ::mixnet::sphinx::Surb;
use ::mixnet::watch::Notice;
use bridge::engine;
use bridge::gateway::client;
use bridge::port::{BridgeId, ChainSecret, Kind, Object, ReplyBlock, Tag};
use tokio::sync::mpsc;

/// What the mixnet brings to a bridge: requests, acks, reply blocks. A bridge with strict protection is not told of losses, since it
/// would send deliveries twice then.
pub async fn to_bridge(
    mut events: mpsc::Receiver<Event>,
    engine: mpsc::Sender<engine::Input>,
    strict: bool,
) {
    while let Some(event) = events.recv().await {
        let input = match event {
            Event::Object {
                object,
                arrival: Arrival::Forward,
            } => unpack(object).map(engine::Input::Object),
            Event::Mailbox(Left { label, first }) => {
                let tag = Tag::new(label);
                Some(engine::Input::Left { tag, first })
            }
            Event::Mailbox(Lost { label, first }) => {
                let tag = Tag::new(label);
                Some(engine::Input::NotLeft { tag, first })
            }
            // A bridge watches no chains.
            Event::Mailbox(Found { .. } | Skipped { .. }) => None,
            // A bridge asks nothing, so nobody answers it; its own blocks do not exist.
            Event::Notice(Notice::LossHigh) => (!strict).then_some(engine::Input::Lossy(true)),
            Event::Notice(Notice::LossUsual) => Some(engine::Input::Lossy(false)),
            Event::Object {
                arrival: Arrival::Reply,
                ..
            }
            | Event::Relays { .. }
            | Event::SurbsStale
            | Event::Notice(_) => None,
        };
        if let Some(input) = input
            && engine.send(input).await.is_err()
        {
            return;
        }
    }
}

/// What the mixnet brings to an edge: responses and deliveries, always by reply blocks.
pub async fn to_edge(mut events: mpsc::Receiver<Event>, client: mpsc::Sender<client::Input>) {
    while let Some(event) = events.recv().await {
        let input = match event {
            Event::Object {
                object,
                arrival: Arrival::Reply,
            } => unpack(object).map(client::Input::Object),
            Event::Mailbox(Found {
                label,
                next,
                object,
            }) => Some(client::Input::Found {
                label,
                next,
                payload: object,
            }),
            Event::Mailbox(Skipped { label, next }) => Some(client::Input::Skipped { label, next }),
            // An edge leaves nothing.
            Event::Mailbox(Left { .. } | Lost { .. }) => None,
            Event::SurbsStale => Some(client::Input::BlocksStale),
            Event::Notice(Notice::LossHigh) => Some(client::Input::Lossy(true)),
            Event::Notice(Notice::LossUsual) => Some(client::Input::Lossy(false)),
            Event::Object {
                arrival: Arrival::Forward,
                ..
            }
            | Event::Relays { .. }
            | Event::Notice(_) => None,
        };
        if let Some(input) = input
            && client.send(input).await.is_err()
        {
            return;
        }
    }
}

/// Sends an object to a bridge through three relays; waits while the send queue is full.
pub async fn send(mix: &Handle, to: BridgeId, object: Object, prompt: bool) {
    let Ok(to) = PeerKey::from_bytes(to.0) else {
        tracing::error!("the key of a bridge is no key");
        return;
    };
    let urgency = if prompt {
        Urgency::Prompt
    } else {
        Urgency::Background
    };
    if let Err(error) = mix.send_with(to, pack(object), urgency).await {
        tracing::debug!(%error, "an object was not sent");
    }
}

/// Answers by reply blocks, one for each frame; waits while the send queue is full.
pub async fn reply(mix: &Handle, blocks: Vec<ReplyBlock>, object: Object) {
    let blocks: Result<Vec<Surb>, _> = blocks
        .iter()
        .map(|block| Surb::from_bytes(block.bytes()))
        .collect();
    let sent = match blocks {
        Ok(blocks) => mix
            .reply(blocks, pack(object))
            .await
            .map_err(|error| error.to_string()),
        // Whoever made a block that is none gets no reply; the engine repeats what matters with the next ones.
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "a reply was not sent");
    }
}

/// Leaves a payload in mailboxes; waits while as many as may be are on their way.
pub async fn leave(mix: &Handle, tag: Tag, key: &ChainSecret, first: u64, payload: Vec<u8>) {
    loop {
        let key = ChainKey::from_bytes(*key.expose());
        match mix.leave(*tag.bytes(), key, first, payload.clone()).await {
            Err(LeaveError::Full) => tokio::time::sleep(FULL_GAP).await,
            Ok(()) | Err(LeaveError::Stopped) => return,
            // The engine has it on its disk and asks again after the next start.
            Err(error) => return tracing::warn!(%error, "a payload is not left in mailboxes"),
        }
    }
}

/// Follows a chain of mailbox boxes.
pub async fn watch(mix: &Handle, label: Label, key: &ChainSecret, next: u64) {
    let key = ChainKey::from_bytes(*key.expose());
    if let Err(error) = mix.watch(label, key, next).await {
        tracing::warn!(%error, "a chain of mailbox boxes is not followed");
    }
}

/// Between two tries to hand over a payload while there is no room: some boxes are full by then.
const FULL_GAP: Duration = Duration::from_secs(1);

/// Makes reply blocks that end at this node; none while too few relays are usable.
pub async fn blocks(mix: &Handle, count: usize) -> Vec<ReplyBlock> {
    let made = mix.surbs(count).await.unwrap_or_default();
    made.iter()
        .filter_map(|surb| ReplyBlock::new(surb.to_bytes().to_vec()))
        .collect()
}

/// An object as the bridge knows it; nothing if its kind is unknown here.
fn unpack(packed: Packed) -> Option<Object> {
    let kind = Kind::from_byte(packed.kind)?;
    Some(Object {
        kind,
        tag: Tag::new(packed.tag),
        bytes: packed.bytes,
    })
}

fn pack(object: Object) -> Packed {
    Packed {
        kind: object.kind.byte(),
        tag: *object.tag.bytes(),
        bytes: object.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_survives_the_crossing_and_an_unknown_kind_does_not() {
        let object = Object {
            kind: Kind::TopUp,
            tag: Tag::new([7; 16]),
            bytes: vec![1, 2, 3],
        };
        assert_eq!(unpack(pack(object.clone())), Some(object.clone()));
        let mut packed = pack(object);
        packed.kind = 9;
        assert_eq!(unpack(packed), None);
    }

    /// What a bridge hears of losses.
    async fn hears(strict: bool) -> Vec<engine::Input> {
        let (events, from_mix) = mpsc::channel(4);
        let (engine, mut inputs) = mpsc::channel(4);
        for notice in [Notice::LossHigh, Notice::LoopsVanish] {
            events.try_send(Event::Notice(notice)).unwrap();
        }
        drop(events);
        to_bridge(from_mix, engine, strict).await;
        std::iter::from_fn(|| inputs.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn a_strict_bridge_is_not_told_of_losses() {
        assert!(matches!(
            hears(false).await[..],
            [engine::Input::Lossy(true)]
        ));
        assert!(hears(true).await.is_empty());
    }
}
