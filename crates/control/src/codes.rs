//! The codes of this crate's own findings, in the form of [`leno_dialects::codes`].

use leno_dialects::codes::{Code, Effect};
use leno_model::span::{Diagnostic, Location, ObjectRef};

macro_rules! codes {
    ($($name:ident = $code:literal, $effect:ident, $meaning:literal, $help:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &Code = &Code {
            code: $code,
            name: stringify!($name),
            effect: Effect::$effect,
            meaning: $meaning,
            help: $help,
        };)*

        /// Every code of this crate, in the table's order.
        pub const ALL: &[&Code] = &[$($name,)*];
    };
}

codes! {
    UNREADABLE = "LENO0801", Refuses, "A file or directory of configuration cannot be read.",
        "mend it, or remove it; what was last read of it stays in effect until then";
    MISSING = "LENO0802", Refuses, "A file or directory of configuration that was named does not exist.",
        "put it there, or name another; what was last read of it stays in effect until then";
    TOO_MUCH = "LENO0803", Refuses, "There is more configuration than Leno reads.",
        "name a directory with nothing but configuration in it";
    LAST_GOOD = "LENO0804", Informs, "An object is refused, and its last good version stays in effect.",
        "correct the object, or remove it to end its effect";
    NO_ADDRESS = "LENO0805", Warns, "No virtual address is left for a service; its name resolves to its endpoints.",
        "remove services that nobody needs";
    REFUSED_BY_PROXY = "LENO0806", Warns, "A proxy refuses what follows from an object and goes on with what it has.",
        "compare the versions of proxy and control plane, and report it";
}

/// A finding with the code's own help as hint.
pub(crate) fn finding(
    code: &Code,
    object: Option<ObjectRef>,
    location: Location,
    message: String,
) -> Diagnostic {
    let hint = (!code.help.is_empty()).then(|| code.help.to_owned());
    Diagnostic { code: code.code, severity: code.severity(), object, location, message, hint }
}
