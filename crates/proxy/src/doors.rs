//! What a proxy serves beside traffic: administration, and the door at which a later process asks for its sockets.
//!
//! Invariant: where an earlier process is to be replaced, nothing is served before this one is ready, and that one is told
//! only then.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;

use crate::admin::{self, Door};
use crate::core::Shared;
use crate::limits::TAKE_OVER_UNCLAIMED;
use crate::local::Local;
use crate::process::{ProcessError, setup};
use crate::sockets::Address;
use crate::takeover::{self, Succession};
use crate::vault::Vault;

/// What is served beside traffic: administration, and the door for a successor.
pub(crate) struct Doors {
    pub(crate) shared: Arc<Shared>,
    pub(crate) local: Arc<Local>,
    pub(crate) admin: Vec<Door>,
}

impl Doors {
    /// Serves them until a later process has taken this one's place. Once the proxy knows what it is and has a
    /// certificate, tells the earlier process and the supervisor that it serves.
    pub(crate) async fn serve(
        self,
        mut succession: Succession,
        door: Option<StdUnixListener>,
        vault: Option<Arc<Vault>>,
    ) -> Result<(), ProcessError> {
        let readiness = self.shared.lifecycle.readiness();
        if succession.is_succession() {
            // Until then the earlier process answers.
            readiness.ready().await;
        }
        let admin = self.admin.into_iter().map(|door| {
            let address =
                door.address().map(|address| self.shared.sockets.list(address, &door)).transpose()?;
            Ok((admin::serve(Arc::clone(&self.shared), Arc::clone(&self.local), door)?, address))
        });
        let _admin = admin.collect::<io::Result<Vec<_>>>().map_err(setup("the admin interface"))?;
        readiness.ready().await;
        succession.serving().await?;
        let unclaimed = async {
            leno_runtime::time::sleep(TAKE_OVER_UNCLAIMED).await;
            self.shared.sockets.drop_inherited();
            std::future::pending::<()>().await;
        };
        let succeeded = async {
            if let Some(vault) = vault {
                let _gone = vault.ready().await;
            }
            let Some(door) = door else { return std::future::pending().await };
            let listed = Address::unix(&door).map(|address| self.shared.sockets.list(address, &door));
            let _listed = listed.transpose()?;
            takeover::serve(door, &self.shared.sockets).await
        };
        tokio::select! {
            succeeded = succeeded => succeeded.map_err(setup("the door for a later process")),
            () = unclaimed => Ok(()),
        }
    }
}
