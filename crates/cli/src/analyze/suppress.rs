//! Findings that the user doesn't want to see, in the words of `istioctl analyze --suppress`.

use std::str::FromStr;

use crate::finding::Finding;

/// A code, and the objects whose findings of that code are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suppression {
    code: String,
    /// `KIND NAME.NAMESPACE` with `*` for anything; all objects without.
    object: Option<String>,
}

impl FromStr for Suppression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (code, object) = match text.split_once('=') {
            Some((code, object)) => (code.trim(), Some(object.trim())),
            None => (text.trim(), None),
        };
        let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_code || object.is_some_and(|object| !object.contains(' ') && object != "*") {
            return Err("write CODE, or CODE=KIND NAME.NAMESPACE, such as \"IST0101=VirtualService *.shop\""
                .to_owned());
        }
        Ok(Self { code: code.to_owned(), object: object.map(str::to_owned) })
    }
}

impl Suppression {
    /// Whether this finding is left out.
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        if !self.code.eq_ignore_ascii_case(&finding.code) {
            return false;
        }
        let Some(pattern) = &self.object else { return true };
        let Some(object) = &finding.object else { return false };
        let name = match object.namespace.as_str() {
            "" => format!("{} {}", object.kind, object.name),
            namespace => format!("{} {}.{namespace}", object.kind, object.name),
        };
        matches(pattern, &name)
    }
}

/// Whether a text fits a pattern in which `*` stands for any number of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    // Without a star the first part is everything.
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        // An empty part is found at once.
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expected) in [
            ("*", "anything", true),
            ("Service a.b", "Service a.b", true),
            ("Service a.b", "Service a.bc", false),
            ("Service *", "Service a.b", true),
            ("Service *.b", "Service a.b", true),
            ("Service *.b", "Service a.c", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("ab*ba", "aba", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_no_suppression_is_told() {
        assert!("IST0101".parse::<Suppression>().is_ok() && "IST0101=*".parse::<Suppression>().is_ok());
        for wrong in ["", "=", "IST0101=reviews", "IST 1=Service a.b"] {
            assert!(wrong.parse::<Suppression>().is_err(), "{wrong}");
        }
    }
}
