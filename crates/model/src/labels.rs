//! Labels and the selectors over them.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A workload's or namespace's labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(pub BTreeMap<Arc<str>, Arc<str>>);

impl Labels {
    /// The value of a label.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| &**value)
    }

    /// Whether every label of `required` is present with the same value. An empty requirement matches everything.
    #[must_use]
    pub fn contains(&self, required: &Self) -> bool {
        required.0.iter().all(|(key, value)| self.value(key) == Some(&**value))
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}
