//! X.509-SVIDs: an accepted leaf keeps every rule of SPIFFE for a reader that takes the certificate apart by hand, and
//! webpki sees the same name in it. What webpki doesn't read proves nothing to anybody, whatever else is in it.

use leno_identity::rustls::pki_types::CertificateDer;
use leno_identity::svid::{Leaf, leaf};
use leno_model::spiffe::SpiffeId;

use super::der::{self, Element, element, elements};
use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Ok(leaf) = leaf(data) else { return Outcome::Refused };
    let certificate = CertificateDer::from(data);
    let Ok(theirs) = webpki::EndEntityCert::try_from(&certificate) else { return Outcome::Refused };
    assert!(theirs.valid_uri_names().all(|name| name == leaf.id.as_str()), "webpki sees another name");
    let extensions = extensions(data).expect("a certificate with extensions");
    keeps_the_rules(&leaf, &extensions);
    assert!(leaf.not_before <= leaf.not_after, "it ends before it begins");
    assert!(self::leaf(&data[..data.len() - 1]).is_err(), "a byte too few");
    assert!(self::leaf(&[data, b"\0"].concat()).is_err(), "a byte too many");
    Outcome::Accepted
}

struct Extension<'a> {
    id: &'a [u8],
    is_critical: bool,
    value: &'a [u8],
}

/// The extensions of a certificate (RFC 5280 §4.1).
fn extensions(certificate: &[u8]) -> Option<Vec<Extension<'_>>> {
    let (outer, _) = element(certificate)?;
    let (inner, _) = element(outer.value)?;
    let parts = elements(inner.value)?;
    let (list, _) = element(parts.iter().find(|part| part.tag == 0xa3)?.value)?;
    elements(list.value)?.iter().map(extension).collect()
}

fn extension<'a>(element: &Element<'a>) -> Option<Extension<'a>> {
    let parts = elements(element.value)?;
    let id = parts.first().filter(|id| id.tag == der::OBJECT_ID)?.value;
    let is_critical = parts.iter().any(|part| part.tag == der::BOOLEAN && part.value != [0]);
    Some(Extension { id, is_critical, value: parts.last()?.value })
}

/// SPIFFE X509-SVID §2, §4.1, §4.3, §4.4.
fn keeps_the_rules<'a>(leaf: &Leaf, extensions: &[Extension<'a>]) {
    // id-ce is 2.5.29.
    let find = |last: u8| {
        let mut found = extensions.iter().filter(move |one| one.id == [0x55, 0x1d, last]);
        let first = found.next();
        assert!(found.next().is_none(), "an extension twice");
        first
    };
    let names = find(17).expect("names");
    let (names, _) = element(names.value).expect("a list of names");
    let names = elements(names.value).expect("names");
    let uris: Vec<&[u8]> = names.iter().filter(|name| name.tag == 0x86).map(|name| name.value).collect();
    assert_eq!(uris, [leaf.id.as_str().as_bytes()], "not exactly one URI");
    assert_eq!(leaf.id.as_str().parse::<SpiffeId>().as_ref(), Ok(&leaf.id));
    assert!(!leaf.id.path().is_empty(), "an authority's id");

    let usage = find(15).expect("key usage");
    assert!(usage.is_critical, "key usage isn't critical");
    let (bits, _) = element(usage.value).expect("a bit string");
    let bits = bits.value.get(1).copied().unwrap_or_default();
    assert_eq!((bits & 0x80, bits & 0x06), (0x80, 0), "not a leaf's key usage: {bits:#x}");

    // Path validation refuses those that aren't well-formed.
    let parts = |extension: &Extension<'a>| elements(element(extension.value)?.0.value);
    if let Some(constraints) = find(19).and_then(parts) {
        let is_authority = constraints.iter().any(|part| part.tag == der::BOOLEAN && part.value != [0]);
        assert!(!is_authority, "an authority");
    }
    if let Some(purposes) = find(37).and_then(parts) {
        // id-kp is 1.3.6.1.5.5.7.3; 1 is for servers, 2 for clients.
        for last in [1, 2] {
            let wanted = [0x2b, 6, 1, 5, 5, 7, 3, last];
            assert!(purposes.iter().any(|purpose| purpose.value == wanted), "purpose {last} isn't there");
        }
    }
}
