//! Where things come from.

use leno_model::span::{Location, ObjectRef, Origin};

use super::{Interner, Within, interned};
use crate::malformed::Malformed;
use crate::proto::units;

pub(super) fn write(origin: &Origin) -> units::Origin {
    units::Origin {
        kind: origin.object.kind.to_string(),
        namespace: origin.object.namespace.to_string(),
        name: origin.object.name.to_string(),
        file: origin.location.file.to_string(),
        line: origin.location.line,
        column: origin.location.column,
    }
}

pub(super) fn read(origin: units::Origin, texts: &mut Interner) -> Origin {
    Origin {
        object: ObjectRef {
            kind: interned(&origin.kind, texts),
            namespace: interned(&origin.namespace, texts),
            name: interned(&origin.name, texts),
        },
        location: Location { file: interned(&origin.file, texts), line: origin.line, column: origin.column },
    }
}

/// An origin that must be there.
pub(super) fn required(origin: Option<units::Origin>, texts: &mut Interner) -> Result<Origin, Malformed> {
    origin.within("origin").map(|origin| read(origin, texts))
}
