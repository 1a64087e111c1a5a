//! Joining what was read file by file, so that a change of one file costs the reading of that file.

use std::collections::HashMap;
use std::sync::Arc;

use leno_model::span::Location;

use super::{LoadOptions, Loaded, ObjectKey, Outcome, Parsed, refuse_duplicate};
use crate::codes;

impl Loaded {
    /// What [`super::load`] would have made of all files at once, from what it made of each. Parts are shared, except
    /// for objects that another file has already.
    #[must_use]
    pub fn join<'p>(files: impl IntoIterator<Item = &'p Self>, options: &LoadOptions) -> Self {
        let parts = files.into_iter().flat_map(|file| &file.parsed);
        let mut parsed: Vec<Arc<Parsed>> = parts.cloned().collect();
        parsed.sort_by(|a, b| (&a.location.file, a.index).cmp(&(&b.location.file, b.index)));
        let mut seen: HashMap<ObjectKey, Location> = HashMap::with_capacity(parsed.len());
        for parsed in parsed.iter_mut().filter(|parsed| !matches!(parsed.outcome, Outcome::Skipped)) {
            let Some(key) = parsed.key() else { continue };
            match seen.get(&key) {
                None => drop(seen.insert(key, parsed.location.clone())),
                // A second one in its own file is refused already, for the sake of the first in that file.
                Some(first) if !is_duplicate(parsed) => {
                    refuse_duplicate(Arc::make_mut(parsed), &key.1, first)
                }
                Some(_) => {}
            }
        }
        Self { parsed, options: options.clone() }
    }
}

fn is_duplicate(parsed: &Parsed) -> bool {
    let mut findings = parsed.diagnostics.iter();
    findings.any(|diagnostic| diagnostic.code == codes::DUPLICATE_OBJECT.code)
}

#[cfg(test)]
mod tests {
    use crate::load::{Document, load};

    use super::*;

    #[test]
    fn files_apart_are_files_together() {
        let service = |name| {
            format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{ports: [{{port: 1}}]}}}}\n---\n"
            )
        };
        let files = [
            ("b", [service("x"), service("y"), service("x")].concat()),
            ("a", service("y")),
            ("c", "kind: [".to_owned()),
        ];
        let documents: Vec<_> =
            files.iter().map(|(file, text)| Document { file: (*file).into(), text }).collect();
        let options = LoadOptions::new("td".parse().unwrap());
        let parts: Vec<Loaded> =
            documents.iter().map(|document| load(std::slice::from_ref(document), &options)).collect();
        let together = load(&documents, &options);
        let apart = Loaded::join(&parts, &options);
        assert_eq!(format!("{:?}", apart.parsed), format!("{:?}", together.parsed));
        assert!(apart.diagnostics().count() >= 3);
    }
}
