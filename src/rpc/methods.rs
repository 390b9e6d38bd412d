//! The methods: their names, and what they have to work with.
//!
//! | module | namespace |
//! |---|---|
//! | `shh` | keys, settings and facts of Whisper |
//! | `filters` | `shh_*` filters and subscriptions |
//! | `post` | `shh_post` |
//! | `admin` | peers, the node itself |
//! | `net`, `web3`, `rpc` | what web3 clients ask first |

mod admin;
mod facts;
mod filters;
mod post;
mod shh;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::{Methods, RpcModule};
use serde::Serialize;

use super::clients::Clients;
use super::error::Error;
use super::node::Node;
use super::sealing::Workshop;

/// What the methods work with.
pub(crate) struct Context {
    pub(crate) node: Node,
    pub(crate) clients: Clients,
    pub(crate) workshop: Workshop,
    pub(crate) datadir: PathBuf,
}

/// A namespace that can be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// Peers, the node itself.
    Admin,
    /// The network.
    Net,
    /// Whisper.
    Shh,
    /// The client's version, and Keccak.
    Web3,
}

impl Namespace {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Net, Self::Shh, Self::Web3];

    /// Its name, which every method starts with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Net => "net",
            Self::Shh => "shh",
            Self::Web3 => "web3",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

/// The methods of some namespaces, and `rpc_modules`, which names them.
pub(crate) fn offer(context: &Arc<Context>, offered: &[Namespace]) -> Methods {
    let mut table = Table(RpcModule::from_arc(Arc::clone(context)));
    for namespace in offered {
        match namespace {
            Namespace::Admin => admin::register(&mut table),
            Namespace::Net => facts::register_net(&mut table),
            Namespace::Shh => {
                shh::register(&mut table);
                filters::register(&mut table);
                post::register(&mut table);
            }
            Namespace::Web3 => facts::register_web3(&mut table),
        }
    }
    facts::register_rpc(&mut table, offered);
    table.0.into()
}

/// The methods as they are registered. No name is registered twice: each stands in one place of this folder.
pub(crate) struct Table(RpcModule<Context>);

impl Table {
    /// A method: gets the text of its arguments, and what there is to work with.
    pub(crate) fn method<T, W>(
        &mut self,
        name: &'static str,
        method: impl Fn(Option<String>, Arc<Context>) -> W + Clone + Send + Sync + 'static,
    ) where
        T: Serialize + Clone + Send + 'static,
        W: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let registered = self
            .0
            .register_async_method(name, move |params, context, _| {
                let working = method(params.as_str().map(str::to_owned), context);
                async move { working.await.map_err(ErrorObjectOwned::from) }
            });
        registered.expect("every method has a name of its own");
    }
}

/// Bytes as JSON writes them here.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
