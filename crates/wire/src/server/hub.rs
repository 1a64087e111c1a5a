//! All sessions of a control plane: each is a stream of responses that its transport pulls.
//!
//! Nothing is spawned and nothing queues: a session goes on only when its transport has room for another response, and
//! looks at the newest catalog then.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use futures_core::Stream;
use futures_util::{StreamExt, stream};
use leno_model::spiffe::SpiffeId;
use leno_runtime::Instant;
use tokio::sync::watch;
use tonic::Status;

use super::authority::{Authority, Caller, Credentials};
use super::catalog::{Catalogs, Client};
use super::registry::{Registration, Registry};
use super::session::{Action, Event, Session};
use crate::key::Subject;
use crate::limits;
use crate::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};

/// Requests of a stream, in order, until it ends or breaks.
pub(crate) type Requests = Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Send>>;

/// Responses of a stream, in order.
pub(crate) type Responses = Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

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

/// Who opened a stream.
enum Origin {
    /// This process: it needs no proof.
    Here,
    /// A caller whose credentials hold; what it may have is asked when it says whose proxy it is.
    Caller(Caller),
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

    /// A session with a proxy in this process.
    pub(crate) fn open_here(&self, requests: Requests) -> Responses {
        // A sender that is dropped never closes anything.
        let (_, closing) = watch::channel(false);
        self.open(Origin::Here, requests, closing)
    }

    /// A session with a remote proxy. It ends when `closing` becomes true.
    pub(super) fn open_remote(
        &self,
        credentials: &Credentials<'_>,
        requests: Requests,
        closing: watch::Receiver<bool>,
    ) -> Result<Responses, Status> {
        match self.authority.authenticate(credentials) {
            Ok(caller) => Ok(self.open(Origin::Caller(caller), requests, closing)),
            Err(_denied) => Err(Status::unauthenticated("the credentials do not prove an identity")),
        }
    }

    fn open(&self, origin: Origin, requests: Requests, closing: watch::Receiver<bool>) -> Responses {
        let driver = Driver {
            hub: self.clone(),
            catalogs: self.catalogs.clone(),
            origin,
            requests,
            closing,
            opened_by: Instant::now() + limits::OPENING_TIMEOUT,
            session: None,
        };
        Box::pin(stream::unfold(Some(driver), |driver| async {
            let mut driver = driver?;
            match driver.next().await {
                Ok(Some(response)) => Some((Ok(response), Some(driver))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        }))
    }

    fn admit(&self, origin: &Origin, node: &Node) -> Result<Client, Status> {
        let subject: Subject =
            node.id.parse().map_err(|error| Status::invalid_argument(format!("node.id: {error}")))?;
        let identity: Option<SpiffeId> = match origin {
            Origin::Here => None,
            Origin::Caller(caller) => match self.authority.admit(caller, &subject) {
                Ok(()) => Some(caller.identity.clone()),
                Err(_denied) => {
                    return Err(Status::permission_denied(format!(
                        "{} may not be {subject}",
                        caller.identity
                    )));
                }
            },
        };
        Ok(Client { subject, identity, version: node.user_agent_version.as_str().into() })
    }
}

/// One session and its stream.
struct Driver {
    hub: Hub,
    catalogs: Catalogs,
    origin: Origin,
    requests: Requests,
    closing: watch::Receiver<bool>,
    opened_by: Instant,
    session: Option<(Session, Registration)>,
}

impl Driver {
    /// The next response; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        loop {
            if let Some(response) = self.respond()? {
                return Ok(Some(response));
            }
            let is_open = self.session.as_ref().is_some_and(|(session, _)| session.is_open());
            tokio::select! {
                () = closed(&mut self.closing) => {
                    return Err(Status::unavailable("the control plane is stopping"));
                }
                request = self.requests.next() => match request.transpose()? {
                    Some(request) => self.request(request)?,
                    None => return Ok(None),
                },
                changed = self.catalogs.changed() => match changed {
                    Ok(()) => self.changed()?,
                    Err(_stopped) => return Err(Status::unavailable("the control plane is stopping")),
                },
                () = leno_runtime::time::sleep_until(self.opened_by), if !is_open => {
                    return Err(Status::deadline_exceeded("the stream was not opened in time"));
                }
            }
        }
    }

    fn respond(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        let Some((session, registration)) = &mut self.session else { return Ok(None) };
        let pending = session.pending();
        let catalog = self.catalogs.borrow().clone();
        let (response, actions) = session.next_response(&*catalog);
        if session.pending() != pending {
            registration.update(session, None);
        }
        self.act(actions)?;
        Ok(response)
    }

    fn request(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Status> {
        let session = match &mut self.session {
            Some((session, _)) => session,
            None => {
                let Some(node) = &request.node else {
                    return Err(Status::invalid_argument("the first request has no node"));
                };
                let client = self.hub.admit(&self.origin, node)?;
                let registration = self.hub.registry.begin(client.clone(), SystemTime::now());
                &mut self.session.insert((Session::new(client), registration)).0
            }
        };
        let actions = session.handle(Event::Request(request));
        self.act(actions)
    }

    fn changed(&mut self) -> Result<(), Status> {
        let Some((session, _)) = &mut self.session else { return Ok(()) };
        let actions = session.handle(Event::Changed);
        self.act(actions)
    }

    fn act(&mut self, actions: Vec<Action>) -> Result<(), Status> {
        let Some((session, registration)) = &self.session else { return Ok(()) };
        for action in actions {
            match action {
                Action::Acked(_) => registration.update(session, Some(session.held())),
                Action::Refused(..) => registration.update(session, None),
                Action::Close(error) => {
                    return Err(Status::invalid_argument(crate::transport::chain(&error)));
                }
            }
        }
        Ok(())
    }
}

/// Waits until it becomes true; for ever if it never does.
async fn closed(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|is_closing| *is_closing).await.is_err() {
        std::future::pending().await
    }
}
