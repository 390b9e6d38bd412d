//! Placeholder.
use crate::api::View;
use crate::config::Settings;
use crate::directory::Directory;
use crate::failure::StartError;
use crate::keystore::Keys;

/// A node whose parts run.
#[derive(Debug)]
pub struct Running {
    view: View,
}

/// Starts every part that the roles need.
pub async fn start(_: Settings, _: Directory, _: Keys) -> Result<Running, StartError> {
    Err(StartError::Bug("this build cannot run a node yet".to_owned()))
}

impl Running {
    /// What the API shows.
    pub fn view(&self) -> View {
        self.view.clone()
    }
    /// Ends.
    pub async fn ended(&mut self) -> StartError {
        std::future::pending().await
    }
    /// Stops.
    pub async fn stop(self) {}
}
