//! What HTTP/2 errors mean for an exchange.

use std::io;

use h2::Reason;
use leno_model::failure::Failure;

use crate::exchange::Progress;

/// What a server's client did.
pub(super) fn of_client(error: &h2::Error) -> Failure {
    if error.is_library() { Failure::DownstreamProtocol } else { Failure::DownstreamGone }
}

/// What the server did to a request that had got as far as `progress`, and how far that is now known to be.
pub(super) fn of_server(error: &h2::Error, progress: Progress) -> (Failure, Progress) {
    let started = progress == Progress::ResponseStarted;
    if let Some(io) = error.get_io() {
        let refused = io.kind() == io::ErrorKind::PermissionDenied;
        return if refused && !started {
            (Failure::TlsFailed, Progress::Refused)
        } else {
            (Failure::UpstreamClosed, progress)
        };
    }
    if error.is_library() {
        return (Failure::UpstreamProtocol, progress);
    }
    // A stream sees a peer's GOAWAY as its error only if it is above the last one that the peer acts on
    // (RFC 9113 §6.8).
    let refused = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && refused && !started {
        return (Failure::UpstreamRefused, Progress::Refused);
    }
    (Failure::UpstreamReset, progress)
}

/// The code that tells the peer why a message ends early (RFC 9113 §7).
pub(super) fn reason_for(failure: Failure) -> Reason {
    match failure {
        Failure::BadRequest | Failure::DownstreamProtocol | Failure::PathRejected => Reason::PROTOCOL_ERROR,
        Failure::DownstreamGone => Reason::CANCEL,
        Failure::NoPeerIdentity | Failure::Denied | Failure::ForbiddenDestination => Reason::REFUSED_STREAM,
        _ => Reason::INTERNAL_ERROR,
    }
}
