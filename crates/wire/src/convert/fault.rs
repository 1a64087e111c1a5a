//! Faults that routes inject.

use std::time::Duration;

use leno_model::fault::{Abort, AbortStatus, Delay, FaultInjection};

use super::Within;
use super::read::{answer_status, share, write_duration};
use crate::malformed::Malformed;
use crate::proto::units;
use crate::proto::units::fault_abort;

/// The last status that gRPC has.
const LAST_GRPC_STATUS: u8 = 16;

pub(super) fn write(fault: &FaultInjection) -> units::FaultInjection {
    units::FaultInjection {
        delay: fault
            .delay
            .map(|delay| units::FaultDelay { share: delay.share, time: write_duration(delay.time) }),
        abort: fault.abort.map(|abort| units::FaultAbort {
            share: abort.share,
            status: Some(match abort.status {
                AbortStatus::Http(status) => fault_abort::Status::Http(status.into()),
                AbortStatus::Grpc(status) => fault_abort::Status::Grpc(status.into()),
            }),
        }),
    }
}

pub(super) fn read(from: units::FaultInjection) -> Result<FaultInjection, Malformed> {
    Ok(FaultInjection {
        delay: from.delay.map(read_delay).transpose().within("delay")?,
        abort: from.abort.map(read_abort).transpose().within("abort")?,
    })
}

fn read_delay(from: units::FaultDelay) -> Result<Delay, Malformed> {
    Ok(Delay { share: share(from.share).within("share")?, time: Duration::from_nanos(from.time) })
}

fn read_abort(from: units::FaultAbort) -> Result<Abort, Malformed> {
    let status = match from.status.within("status")? {
        fault_abort::Status::Http(status) => AbortStatus::Http(answer_status(status).within("http")?),
        fault_abort::Status::Grpc(status) => match u8::try_from(status) {
            Ok(status @ 0..=LAST_GRPC_STATUS) => AbortStatus::Grpc(status),
            _ => return Err(Malformed::new("is not a gRPC status").in_field("grpc")),
        },
    };
    Ok(Abort { share: share(from.share).within("share")?, status })
}
