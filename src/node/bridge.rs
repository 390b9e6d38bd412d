//! The role of the bridge: the engine between its two networks.

use std::sync::Arc;
use std::time::Duration;

use bridge::engine::{self, Engine};
use bridge::gateway::seal::ExchangeSecret;
use bridge::port::{BridgeId, ChainSecret, Envelope, Object, ReplyBlock, Stage, Tag};
use bridge::runner;
use bridge::store::{RocksStore, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::core::{Core, Doing, Watching, port, put};
use super::parts::{self, Mix, Whisper};
use crate::config::Settings;
use crate::failure::StartError;
use crate::keystore::Keys;
use crate::link;

/// Opens the engine on its store and joins it to both networks.
pub(super) fn start(
    settings: &Settings,
    keys: &Keys,
    whisper: &mut Whisper,
    mix: &mut Mix,
    store: &Arc<RocksStore>,
    watching: Watching,
) -> Result<Core, StartError> {
    let config = config(settings, keys, mix)?;
    let store: Arc<dyn Store> = store.clone();
    let engine = Engine::open(config, store.clone(), runner::now()).map_err(parts::open_failed)?;
    let running = runner::spawn(engine, store);

    let (from_whisper, from_mix) = (whisper.events.take()?, mix.events.take()?);
    let mut feeds = JoinSet::new();
    feeds.spawn(link::legacy::to_bridge(from_whisper, running.input.clone()));
    feeds.spawn(link::mixnet::to_bridge(
        from_mix,
        running.input.clone(),
        mix.protection.strict,
    ));

    let (whisper, mix) = (whisper.handle.clone(), mix.handle.clone());
    let sealer = link::legacy::Sealer::new(whisper.clone());
    let core = running.input.downgrade();
    let mut ports = JoinSet::new();
    let posts = port(&mut ports, {
        let core = core.clone();
        move |envelope| {
            let (whisper, core) = (whisper.clone(), core.clone());
            async move { link::legacy::publish(&whisper, envelope, &core).await }
        }
    });
    let leaving = mix.clone();
    let replies = port(&mut ports, move |(blocks, object)| {
        let mix = mix.clone();
        async move { link::mixnet::reply(&mix, blocks, object).await }
    });
    let mailboxes = port(&mut ports, {
        let mix = leaving;
        move |wish| {
            let mix = mix.clone();
            async move {
                match wish {
                    ToMailboxes::Leave(tag, key, first, payload) => {
                        link::mixnet::leave(&mix, tag, &key, first, payload).await;
                    }
                    ToMailboxes::Forget(tag) => mix.forget(*tag.bytes()).await,
                }
            }
        }
    });
    let out = Out {
        sealer,
        posts,
        replies,
        mailboxes,
        core,
        watching,
    };
    ports.spawn(out.hand_out(running.output));
    Ok(Core {
        doing: Doing::Bridge(running.status),
        feeds,
        task: running.task,
        ports,
    })
}

fn config(settings: &Settings, keys: &Keys, mix: &Mix) -> Result<engine::Config, StartError> {
    Ok(engine::Config {
        id: BridgeId(*mix.handle.peer().as_bytes()),
        gateway_secret: ExchangeSecret::from_bytes(*parts::gateway(keys)?.expose()),
        inspect: Arc::new(link::legacy::Reader),
        seed: *parts::seed(settings, parts::SeedFor::Core)?,
        frame_capacity: ::mixnet::fragment::FRAME_FRAGMENT_MAX,
        retry: engine::RETRY,
        reseal: settings.bridge.reseal,
        mailboxes: mailboxes(settings.bridge.mailbox_after_seconds),
    })
}

fn mailboxes(after_s: u32) -> Option<engine::Mailboxes> {
    (after_s > 0).then_some(engine::Mailboxes {
        box_capacity: ::mixnet::mailbox::CELL_FRAGMENT_MAX,
        absent_after: Duration::from_secs(after_s.into()),
    })
}

/// What the engine wants of mailboxes, in its order.
enum ToMailboxes {
    Leave(Tag, ChainSecret, u64, Vec<u8>),
    Forget(Tag),
}

/// Where the outputs of the engine go.
struct Out {
    sealer: link::legacy::Sealer,
    posts: mpsc::Sender<Envelope>,
    replies: mpsc::Sender<(Vec<ReplyBlock>, Object)>,
    mailboxes: mpsc::Sender<ToMailboxes>,
    core: mpsc::WeakSender<engine::Input>,
    watching: Watching,
}

impl Out {
    async fn hand_out(self, mut outputs: mpsc::Receiver<engine::Output>) {
        let mut sealing = JoinSet::new();
        while let Some(output) = outputs.recv().await {
            match output {
                engine::Output::Publish { envelope } => put(&self.posts, envelope).await,
                engine::Output::Reply { blocks, object } => {
                    put(&self.replies, (blocks, object)).await
                }
                engine::Output::Work(job) => {
                    sealing.spawn(self.sealer.clone().seal(job, self.core.clone()));
                }
                engine::Output::Leave {
                    tag,
                    key,
                    first,
                    payload,
                } => {
                    let wish = ToMailboxes::Leave(tag, key, first, payload);
                    put(&self.mailboxes, wish).await;
                }
                engine::Output::Forget { tag } => {
                    put(&self.mailboxes, ToMailboxes::Forget(tag)).await;
                }
                engine::Output::Trace(trace) => self.watching.note(&trace, direction),
                // The runner writes these itself.
                engine::Output::Commit { .. } => {}
            }
            while sealing.try_join_next().is_some() {}
        }
    }
}

/// The direction in which an envelope has crossed with this stage.
fn direction(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Posted => Some("to_whisper"),
        Stage::Acked => Some("to_mix"),
        Stage::Accepted
        | Stage::Committed
        | Stage::Delivered
        | Stage::Resealed
        | Stage::Refused => None,
    }
}
