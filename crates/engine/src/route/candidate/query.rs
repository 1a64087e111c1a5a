//! Query parameters.

use std::borrow::Cow;

use crate::percent;

/// The percent-decoded value of the first parameter of that name; a parameter without `=` has an empty one.
/// `+` stays as it is.
pub(crate) fn value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, [u8]>> {
    query.split('&').find_map(|parameter| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let matches =
            key == name || (key.contains('%') && *percent::decode(key.as_bytes()) == *name.as_bytes());
        matches.then(|| percent::decode(value.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_first_parameter_of_a_name_counts() {
        for (query, expected) in [
            ("a=1", Some("1")),
            ("b=2&a=1&a=3", Some("1")),
            ("%61=%31", Some("1")),
            ("a", Some("")),
            ("a=", Some("")),
            ("a=x=y", Some("x=y")),
            ("a=%2", Some("%2")),
            ("A=1", None),
            ("aa=1", None),
            ("", None),
            ("&&", None),
        ] {
            let value = super::value(query, "a");
            assert_eq!(value.as_deref(), expected.map(str::as_bytes), "{query}");
        }
    }
}
