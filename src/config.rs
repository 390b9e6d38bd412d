//! The configuration of a node: `config.toml`, then the environment, then the command line.
//!
//! One table ([`schema`]) lists every key with its form, its default and one line of why. The file
//! that `ferry init` writes, the check of a file, the names of the environment variables and the
//! typed [`Settings`] all come from it.
//!
//! | module | content |
//! |---|---|
//! | [`schema`] | the keys |
//! | [`check`] | reads a file, the environment and `--set`; names the key, the line and the nearest valid one |
//! | [`settings`] | the checked values, typed |
//! | [`template`] | writes the commented file |

pub mod check;
pub mod schema;
pub mod settings;
pub mod template;

pub use check::{ConfigError, Sources, load};
pub use schema::Ports;
pub use settings::Settings;
