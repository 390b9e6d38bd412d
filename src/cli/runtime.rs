//! The runtimes of the commands.

use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, StartError};

/// For a node, on all cores.
pub(super) fn of_a_node() -> Result<Runtime, Failure> {
    start(&mut Builder::new_multi_thread())
}

/// For a command that mostly waits.
pub(super) fn of_a_command() -> Result<Runtime, Failure> {
    start(Builder::new_multi_thread().worker_threads(2))
}

fn start(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(|error| {
        let what = format!("the runtime does not start: {error}");
        Failure::from(StartError::Resources(what))
    })
}
