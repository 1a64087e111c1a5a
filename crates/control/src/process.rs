//! The control plane as a process of its own, started by `leno up`.

use crate::bootstrap::Local;

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The document says something that can't be.
    #[error("the bootstrap document is not usable: {0}")]
    Bootstrap(String),
    /// A descriptor that it names.
    #[error("descriptor {number} was not inherited")]
    Descriptor {
        /// Its number.
        number: i32,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The control plane.
    #[error(transparent)]
    Start(#[from] crate::server::StartError),
}

/// Runs the control plane of a local mesh until a signal or the supervisor's vault tells it to end. To be called inside
/// a [`leno_runtime::LocalRuntime`], after [`leno_runtime::process::raise_open_files`].
///
/// # Errors
/// When it cannot start.
pub async fn run(local: Local) -> Result<(), ProcessError> {
    let _ = local;
    Err(ProcessError::Bootstrap("not yet".to_owned()))
}
