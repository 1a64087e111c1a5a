//! All sessions of a control plane.

use std::fmt;
use std::sync::Arc;

use crate::server::authority::Authority;
use crate::server::catalog::Catalogs;
use crate::server::registry::Registry;

/// Opens sessions. Clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    catalogs: Catalogs,
    authority: Arc<dyn Authority>,
    registry: Registry,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub that serves the newest catalog to whom the authority admits.
    #[must_use]
    pub fn new(catalogs: Catalogs, authority: Arc<dyn Authority>) -> Self {
        Self { catalogs, authority, registry: Registry::default() }
    }

    /// Its sessions.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
