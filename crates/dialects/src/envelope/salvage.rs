//! Which object a text that is not well-formed is probably about, so that its last good version can go on counting.
//!
//! It looks at lines, as people lay out objects: `kind:` at the margin, `name:` and `namespace:` one step inside of
//! `metadata:`. A wrong guess keeps or drops an old version; it never makes a new one.

use std::sync::Arc;

use leno_model::span::ObjectRef;

use crate::content;
use crate::kinds::{self, Known};
use crate::load::{LoadOptions, Outcome, Parsed};
use crate::yaml::Document;

pub(super) fn broken(file: &Arc<str>, document: &Document<'_>, options: &LoadOptions, index: u32) -> Parsed {
    let guess = guess(document.text);
    let group = guess.api_version.and_then(|api| api.split_once('/')).map_or("", |(group, _)| group);
    let object = guess.kind.zip(guess.name).map(|(kind, name)| {
        let namespaced = !matches!(kinds::find(group, kind), Known::Supported(kind) if !kind.namespaced);
        let namespace = guess.namespace.unwrap_or(&options.default_namespace);
        ObjectRef {
            kind: kind.into(),
            namespace: if namespaced { namespace.into() } else { "".into() },
            name: name.into(),
        }
    });
    let mut diagnostics = document.diagnostics.clone();
    for diagnostic in &mut diagnostics {
        diagnostic.object.clone_from(&object);
    }
    Parsed {
        object,
        group: group.into(),
        location: document.at.in_file(file),
        index,
        meant: None,
        created: None,
        content: content::of_text(document.text),
        outcome: Outcome::Refused { instead: None },
        diagnostics,
    }
}

#[derive(Debug, Default, PartialEq)]
struct Guess<'t> {
    api_version: Option<&'t str>,
    kind: Option<&'t str>,
    name: Option<&'t str>,
    namespace: Option<&'t str>,
}

impl<'t> Guess<'t> {
    /// Takes names out of `metadata` written on one line: `{name: web, namespace: shop}`.
    fn inline(&mut self, value: &'t str) {
        for part in value.split(['{', ',', '}']) {
            match part.split_once(':').map(|(key, value)| (key.trim(), plain(value))) {
                Some(("name", value)) => self.name = self.name.or(value),
                Some(("namespace", value)) => self.namespace = self.namespace.or(value),
                Some(_) | None => {}
            }
        }
    }
}

fn guess(text: &str) -> Guess<'_> {
    let mut guess = Guess::default();
    let mut metadata_indent = None;
    let mut in_metadata = false;
    for line in text.lines() {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        let Some((key, value)) = content.split_once(':') else { continue };
        if indent == 0 {
            in_metadata = key == "metadata";
        }
        if in_metadata && indent == 0 {
            guess.inline(value);
        }
        let value = plain(value);
        match (indent, key) {
            (0, "apiVersion") => guess.api_version = guess.api_version.or(value),
            (0, "kind") => guess.kind = guess.kind.or(value),
            (1.., _) if in_metadata && *metadata_indent.get_or_insert(indent) == indent => match key {
                "name" => guess.name = guess.name.or(value),
                "namespace" => guess.namespace = guess.namespace.or(value),
                _ => {}
            },
            _ => {}
        }
    }
    guess
}

/// A value that could be a name: without quotes and comment.
fn plain(value: &str) -> Option<&str> {
    let value = value.split(" #").next()?.trim().trim_matches(['"', '\'']);
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/');
    (!value.is_empty() && value.len() <= 253 && value.chars().all(valid)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_text_still_tells_its_name() {
        let text = "---\napiVersion: v1 # core\nkind: \"Service\"\nmetadata:\n  labels:\n    name: x\n  name: web\n  \
                    namespace: shop\nspec:\n  name: y\n  ports: [\n";
        let expected = Guess {
            api_version: Some("v1"),
            kind: Some("Service"),
            name: Some("web"),
            namespace: Some("shop"),
        };
        assert_eq!(guess(text), expected);
        let inline = guess("kind: Service\nmetadata: {name: web, namespace: 'shop'\n");
        assert_eq!((inline.name, inline.namespace), (Some("web"), Some("shop")));
        assert_eq!(guess("a: [\n"), Guess::default());
        assert_eq!(guess("kind: a b\n"), Guess::default());
    }
}
