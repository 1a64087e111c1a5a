//! The codes of all findings: stable, each with a name, a meaning and a sentence of help.
//!
//! A code is never given a second meaning and never reused. Where Istio's analyzer has the same finding its code is
//! used. `docs/reference/diagnostics.md` is generated from this table.

use leno_model::span::Severity;

/// One kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable code, such as `LENO0023`.
    pub code: &'static str,
    /// A short name.
    pub name: &'static str,
    /// What it does to the object that it is about.
    pub effect: Effect,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it; the hint of findings that have no better one. Empty where the message says it all.
    pub help: &'static str,
}

/// What a finding does to the object that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An error: the object is refused.
    Refuses,
    /// A warning: the object is in effect, but differently from what its own system would do.
    Approximates,
    /// A warning that changes nothing.
    Warns,
    /// Worth knowing.
    Informs,
}

impl Code {
    /// How much the finding matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self.effect {
            Effect::Refuses => Severity::Error,
            Effect::Approximates | Effect::Warns => Severity::Warning,
            Effect::Informs => Severity::Info,
        }
    }
}

macro_rules! codes {
    ($($name:ident = $code:literal, $effect:ident, $meaning:literal, $help:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &Code = &Code {
            code: $code,
            name: stringify!($name),
            effect: Effect::$effect,
            meaning: $meaning,
            help: $help,
        };)*

        /// Every code, in the table's order.
        pub const ALL: &[&Code] = &[$($name,)*];
    };
}

codes! {
    SYNTAX = "LENO0001", Refuses, "The text is not well-formed YAML.",
        "see the place named; indentation and quotes are the usual causes";
    DUPLICATE_KEY = "LENO0002", Refuses, "A mapping has the same key twice.",
        "remove one of the two";
    LIMIT = "LENO0003", Refuses, "A limit of size, depth or number is exceeded.",
        "divide the document";
    TAG = "LENO0004", Refuses, "A YAML tag outside the core schema is used.",
        "remove the tag";
    KEY = "LENO0005", Refuses, "A mapping's key is not a text.",
        "write the key as a plain or quoted text";
    AMBIGUOUS = "LENO0006", Warns, "An unquoted word means different things to different YAML readers.",
        "quote it, or write true or false";
    MORE_FINDINGS = "LENO0007", Informs, "There are more findings about an object than are kept.",
        "mend what is told and read it again";
    WRONG_TYPE = "LENO0020", Refuses, "A value is not of the type that its field has.",
        "write a value of the type that is named";
    REQUIRED = "LENO0021", Refuses, "A required field is missing.", "add it";
    INVALID_VALUE = "LENO0022", Refuses, "A value is not valid for its field.", "correct the value";
    UNKNOWN_FIELD = "LENO0023", Refuses, "The kind has no field of this name.", "remove it";
    NOT_IN_EFFECT = "LENO0024", Approximates, "The field is known and has no effect in Leno yet.",
        "remove it, or do without its effect";
    UNREAD_FIELD = "LENO0025", Refuses, "The field is known here but was not looked at: a bug in Leno.",
        "please report it";
    ENVELOPE = "LENO0030", Refuses, "A document is not a Kubernetes-style object.",
        "an object has apiVersion, kind and metadata.name";
    UNKNOWN_KIND = "LENO0031", Refuses, "No API known here has this kind.", "";
    UNKNOWN_VERSION = "LENO0032", Refuses, "The kind has no such API version.", "";
    UNSUPPORTED_KIND = "LENO0033", Refuses, "The kind is known, but Leno does not act on it yet.", "";
    NOT_FOR_THE_MESH = "LENO0034", Informs, "The kind says nothing to a mesh; the object is left to others.", "";
    NAME = "LENO0035", Refuses, "An object's name or namespace is not valid.",
        "use lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit";
    DUPLICATE_OBJECT = "LENO0036", Refuses, "The same object is written down twice.",
        "remove or rename one of the two";
    ANNOTATION = "IST0108", Warns, "An annotation of Leno's own is not known.", "remove it";
    UNDECLARED_PORT = "IST0118", Informs, "A port's name does not say its protocol, which is then detected.",
        "begin the name with http-, grpc- or tcp-, or set appProtocol";
    UNSUPPORTED = "LENO0026", Refuses, "The object depends on something that Leno does not do yet.", "";
    APPROXIMATED = "LENO0027", Approximates, "A setting is in effect in another way than its own system's.", "";
    INEFFECTIVE = "LENO0028", Warns, "A setting has no effect where it stands.", "remove it";
    LEFT_OUT = "LENO0029", Approximates, "A part that Leno does not do yet is left out.", "";
    NOT_TCP = "LENO0040", Informs, "A port is not TCP, and the mesh carries only TCP.",
        "its traffic is neither secured nor seen";
    ORPHANED_ENDPOINTS = "LENO0041", Approximates, "Endpoints belong to no service or to none of its ports.",
        "label the slice kubernetes.io/service-name with the name of a Service whose ports have the same names";
    LISTENER_LEFT_OUT = "LENO0042", Approximates, "A gateway's listener is not served.", "";
    INVALID_BACKEND = "LENO0043", Warns, "A route's backend cannot be used; requests for it get status 500.", "";
    NOT_GRANTED = "LENO0044", Warns, "A reference to another namespace is not granted there.",
        "add a ReferenceGrant in the namespace referred to";
    FILTER_FAILS = "LENO0045", Approximates,
        "A filter that Leno does not do must not be skipped; requests of the rule get status 500.", "";
    INCOMPLETE_RULE = "LENO0050", Approximates,
        "A policy rule has a part that Leno cannot check, and so allows nothing or denies by its other parts.", "";
    CUSTOM_DENIES = "LENO0051", Approximates,
        "Requests that a CUSTOM policy would hand to an external authorizer are denied.",
        "Leno does not ask external authorizers yet";
    AUDIT_IGNORED = "LENO0052", Approximates, "An AUDIT policy has no effect.",
        "Leno writes no audit log yet; requests are neither allowed nor denied by it";
    STRICTEST = "LENO0053", Informs, "A refused object that protects something counts in its strictest sense.",
        "mend the object; until then it allows nothing, or denies everything that it may be about";
    NO_ENDPOINTS = "LENO0060", Warns, "A service selects no workload.",
        "requests to it get status 503 until a workload carries the labels";
    BEATEN = "LENO0061", Warns, "A VirtualService has no effect on a host that an HTTPRoute is attached to.",
        "keep the routes of a host in one of the two";
    UNKNOWN_ROUTE_HOST = "LENO0062", Warns, "Routes are written for a host that no service has.",
        "name a service by its full DNS name, or create it";
    SHADOWED_SETTINGS = "LENO0063", Warns, "Older settings of the same scope count instead.",
        "put the settings into one object";
    NOT_ALLOWED = "LENO0064", Warns, "A listener does not let a route attach.",
        "set allowedRoutes.namespaces of the listener";
    OTHER_LISTENER = "LENO0065", Warns, "A route is attached to a listener that speaks something else than it is about.",
        "attach an HTTPRoute to an HTTP or HTTPS listener, a TLSRoute to one that passes TLS through, a TCPRoute to a TCP one";
    NOT_FOUND = "IST0101", Warns, "Something that is referred to does not exist.", "create it, or correct the name";
    CONFLICTING_HOSTS = "IST0109", Warns, "Several VirtualServices route one host of the mesh; the oldest counts.",
        "put the routes into one VirtualService, or make their exportTo disjoint";
    PORT_NEEDED = "IST0112", Warns, "A destination names no port, and its service has several.",
        "add destination.port.number; without it the port that was dialled is used";
    NO_WORKLOADS = "IST0127", Warns, "A selector selects no workload.", "compare the labels";
    UNREACHABLE_RULE = "IST0130", Warns, "A rule is never used, since rules before it take all of its requests.",
        "remove it, or move it up";
    DUPLICATE_MATCH = "IST0131", Informs, "A match is never used, since a rule before takes its requests.",
        "remove it";
    HOST_NOT_AT_GATEWAY = "IST0132", Warns, "No listener of a gateway serves a host of the routes.",
        "add a listener for the host, or remove it";
    CONFLICTING_LISTENERS = "IST0145", Approximates, "Listeners of a gateway conflict; the first counts.",
        "use another port, or another hostname";
    BAD_CREDENTIAL = "IST0161", Warns, "A gateway's secret holds no usable certificate.",
        "use a secret of type kubernetes.io/tls";
    EMPTY_SUBSET = "IST0173", Warns, "A subset selects no workload of its service.",
        "requests for the subset get status 503; compare the labels";
    UNKNOWN_DESTINATION = "IST0174", Warns, "Destination settings are written for a host that no service has.",
        "name a service by its full DNS name, or create it";
    UNVERIFIED = "IST0128", Warns, "A destination's certificate is not verified.",
        "remove insecureSkipVerify; name roots in caCertificates if the system's are not enough";
    UNVERIFIED_PORT = "IST0129", Warns, "A destination's certificate is not verified on one port.",
        "remove insecureSkipVerify; name roots in caCertificates if the system's are not enough";
    DEPRECATED = "IST0002", Warns, "The field is deprecated.", "";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = BTreeSet::new();
        for code in ALL {
            let digits = code.code.strip_prefix("LENO").or_else(|| code.code.strip_prefix("IST")).unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", code.code);
            assert!(seen.insert(code.code), "{} is used twice", code.code);
            assert!(code.meaning.ends_with('.') && !code.help.ends_with('.'), "{}", code.code);
        }
    }
}
