//! Who a workload is, and how it proves that.
//!
//! Keys, X.509-SVIDs and bundles; the certificate authority behind a trait; rotation as a state machine without I/O;
//! join tokens; and the rustls configurations that everything on the wire uses. Identity belongs to one workload
//! ([`holder::Identities`]), never to the process. Private keys and tokens print as placeholders and are wiped when
//! dropped. The crate opens no socket, spawns no task and knows no routing.

pub mod alpn;
pub mod bundle;
pub mod ca;
pub mod credential;
pub mod error;
pub mod holder;
pub mod key;
pub mod limits;
pub mod request;
pub mod rotation;
pub mod state;
pub mod svid;
pub mod tls;
pub mod token;

mod clock;
mod octets;
mod pem;

pub use bundle::{Bundle, Bundles};
pub use credential::Credential;
pub use error::Error;
pub use holder::{Current, Identities};
pub use key::KeyPair;
pub use rustls;
pub use svid::Svid;
