//! What the local user may ask of a running node.

use std::fmt;

use mixnet::WindowState;
use mixnet::shell::Handle;

/// The parts of a node that take orders; without a mixnet there are none.
#[derive(Clone, Default)]
pub struct Control {
    mix: Option<Handle>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("mix", &self.mix.is_some())
            .finish()
    }
}

impl Control {
    /// Orders go to this mixnet.
    pub fn new(mix: Option<Handle>) -> Self {
        Self { mix }
    }

    /// Opens the window for so many steps of ten minutes; 0 lets it close. None where there is no mixnet.
    pub async fn open_window(&self, steps: u16) -> Option<WindowState> {
        self.mix.as_ref()?.open_window(steps).await
    }
}
