//! A client made by hand: asks a bridge one-shot, and reads what it answers.

use bridge::engine;
use bridge::gateway::request::{Auth, Body, Content, Post, PostId, Receipts, Request, RequestId};
use bridge::gateway::response::{Receipt, Response, ResponseBody};
use bridge::gateway::seal::{self, Context, ExchangeKey, ExchangeSecret, Opener};
use bridge::port::{Kind, Object, Tag};
use rand_core::Rng;

use crate::world::{World, bridge_info};

/// A one-shot exchange.
pub struct Exchange {
    pub object: Object,
    opener: Opener,
    read: usize,
}

/// Random bytes of the world.
pub fn draw<const N: usize>(world: &mut World) -> [u8; N] {
    let mut bytes = [0; N];
    world.rng.fill_bytes(&mut bytes);
    bytes
}

/// Asks, with so many reply blocks.
pub fn ask(world: &mut World, id: [u8; 16], body: Body, blocks: usize) -> Exchange {
    let blocks = (0..blocks).map(|_| world.make_block()).collect();
    let request = Request {
        id: RequestId::new(id),
        blocks,
        auth: Auth::default(),
        body: Ok(body),
    };
    ask_bytes(world, &request.encode())
}

/// Asks with exactly these bytes in the box.
pub fn ask_bytes(world: &mut World, content: &[u8]) -> Exchange {
    let tag = Tag::new(draw(world));
    let ephemeral = ExchangeSecret::from_bytes(draw(world));
    let key = ExchangeKey::new(bridge_info().gateway_key);
    let context = Context::new(Kind::Request, tag);
    let (bytes, opener) = seal::seal_request(context, ephemeral, &key, content).unwrap();
    let object = Object {
        kind: Kind::Request,
        tag,
        bytes,
    };
    world.tell_bridge(engine::Input::Object(object.clone()));
    Exchange {
        object,
        opener,
        read: world.sent_to_edge.len(),
    }
}

/// A post of these bytes.
pub fn post(id: [u8; 16], rlp: &[u8], reseals: u32, retry_until: Option<u32>) -> Body {
    Body::Post(Post {
        id: PostId::new(id),
        content: Content::Sealed(rlp.to_vec()),
        reseals,
        retry_until,
        receipts: Receipts::ALL,
    })
}

impl Exchange {
    /// What was answered since it was last asked for.
    pub fn answers(&mut self, world: &World) -> Vec<Response> {
        let new = &world.sent_to_edge[self.read..];
        self.read = world.sent_to_edge.len();
        new.iter()
            .filter(|object| object.tag == self.object.tag)
            .map(|object| {
                let context = Context::new(object.kind, object.tag);
                Response::decode(&self.opener.open(context, &object.bytes).unwrap()).unwrap()
            })
            .collect()
    }

    /// The receipts among them.
    pub fn receipts(&mut self, world: &World) -> Vec<Receipt> {
        let receipt = |response: Response| match response.body {
            Some(ResponseBody::Receipt(receipt)) => Some(receipt),
            _ => None,
        };
        self.answers(world)
            .into_iter()
            .filter_map(receipt)
            .collect()
    }
}
