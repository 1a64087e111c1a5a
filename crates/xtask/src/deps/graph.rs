//! The graph of packages, from `cargo metadata`'s JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// All packages that some build of the workspace contains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Graph {
    pub(crate) packages: BTreeMap<String, Package>,
}

/// One package in one version, by cargo's id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    pub(crate) manifest: String,
    pub(crate) is_member: bool,
    pub(crate) edges: Vec<Edge>,
}

/// A dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    /// The id of what is depended on.
    pub(crate) to: String,
    pub(crate) kinds: BTreeSet<Kind>,
}

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Graph {
    /// Reads the output; `None` when it isn't of format version 1.
    pub(crate) fn parse(metadata: &Value) -> Option<Self> {
        let members: BTreeSet<&str> =
            metadata.get("workspace_members")?.as_array()?.iter().filter_map(Value::as_str).collect();
        let described: BTreeMap<&str, &Value> = metadata
            .get("packages")?
            .as_array()?
            .iter()
            .filter_map(|package| Some((package.get("id")?.as_str()?, package)))
            .collect();
        let mut packages = BTreeMap::new();
        for node in metadata.get("resolve")?.get("nodes")?.as_array()? {
            let id = node.get("id")?.as_str()?;
            let package = Package::parse(described.get(id)?, node, &described, members.contains(id))?;
            packages.insert(id.to_owned(), package);
        }
        let mut graph = Self { packages };
        graph.forget_unreachable();
        Some(graph)
    }

    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| package.is_member)
    }

    fn forget_unreachable(&mut self) {
        let is_member = |(_, package): &(&String, &Package)| package.is_member;
        let mut left: Vec<String> =
            self.packages.iter().filter(is_member).map(|(id, _)| id.clone()).collect();
        let mut reached = BTreeSet::new();
        while let Some(id) = left.pop() {
            let edges = self.packages.get(&id).into_iter().flat_map(|package| &package.edges);
            left.extend(edges.map(|edge| edge.to.clone()).filter(|to| !reached.contains(to)));
            reached.insert(id);
        }
        self.packages.retain(|id, _| reached.contains(id));
    }
}

impl Package {
    fn parse(described: &Value, node: &Value, all: &BTreeMap<&str, &Value>, is_member: bool) -> Option<Self> {
        let text = |key: &str| described.get(key)?.as_str().map(ToOwned::to_owned);
        let mut edges = Vec::new();
        for edge in node.get("deps")?.as_array()? {
            let to = edge.get("pkg")?.as_str()?;
            let name = all.get(to)?.get("name")?.as_str()?;
            if is_on(described, node, name)? {
                let kinds = edge.get("dep_kinds")?.as_array()?.iter().map(kind).collect();
                edges.push(Edge { to: to.to_owned(), kinds });
            }
        }
        Some(Self {
            name: text("name")?,
            version: text("version")?,
            licence: text("license"),
            manifest: text("manifest_path")?,
            is_member,
            edges,
        })
    }
}

fn kind(value: &Value) -> Kind {
    match value.get("kind").and_then(Value::as_str) {
        Some("build") => Kind::Build,
        Some("dev") => Kind::Dev,
        _ => Kind::Normal,
    }
}

/// Whether a dependency is compiled: it isn't optional, or a feature that is on asks for it. Cargo also lists
/// those that only a weak feature (`name?/feature`) mentions.
fn is_on(described: &Value, node: &Value, name: &str) -> Option<bool> {
    let declared = described.get("dependencies")?.as_array()?;
    let of_name: Vec<&Value> =
        declared.iter().filter(|dependency| dependency.get("name").is_some_and(|own| own == name)).collect();
    let is_optional = |dependency: &&Value| dependency.get("optional").and_then(Value::as_bool) == Some(true);
    if of_name.is_empty() || !of_name.iter().all(is_optional) {
        return Some(true);
    }
    let known_as = of_name.iter().filter_map(|dependency| {
        dependency.get("rename").and_then(Value::as_str).or_else(|| dependency.get("name")?.as_str())
    });
    let known_as: Vec<&str> = known_as.collect();
    let features = described.get("features")?.as_object()?;
    let on = node.get("features")?.as_array()?.iter().filter_map(Value::as_str);
    let asked =
        on.filter_map(|feature| features.get(feature)?.as_array()).flatten().filter_map(Value::as_str);
    let mut asked = asked.map(|entry| entry.strip_prefix("dep:").unwrap_or(entry));
    Some(asked.any(|entry| known_as.contains(&entry.split_once('/').map_or(entry, |(name, _)| name))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(id: &str, dependencies: Value, features: Value) -> Value {
        json!({"id": id, "name": id, "version": "1.0.0", "license": "MIT", "manifest_path": "/x/Cargo.toml",
               "dependencies": dependencies, "features": features})
    }

    fn metadata(features_on: &[&str]) -> Value {
        let optional = json!([{"name": "tls", "optional": true}, {"name": "base", "optional": false}]);
        let features =
            json!({"strong": ["dep:tls"], "through": ["tls/fast"], "weak": ["tls?/fast"], "none": []});
        let edge = |to: &str| json!({"pkg": to, "dep_kinds": [{"kind": null}, {"kind": "dev"}]});
        json!({
            "workspace_members": ["app"],
            "packages": [package("app", optional, features), package("tls", json!([]), json!({})),
                         package("base", json!([]), json!({}))],
            "resolve": {"nodes": [
                {"id": "app", "features": features_on, "deps": [edge("tls"), edge("base")]},
                {"id": "tls", "features": [], "deps": []},
                {"id": "base", "features": [], "deps": []},
            ]},
        })
    }

    #[test]
    fn optional_dependencies_count_when_a_feature_asks_for_them() {
        for (features, expected) in [
            (&["strong"][..], true),
            (&["through"], true),
            (&["weak"], false),
            (&["none"], false),
            (&[], false),
        ] {
            let graph = Graph::parse(&metadata(features)).unwrap();
            assert_eq!(graph.packages.contains_key("tls"), expected, "{features:?}");
            assert!(graph.packages.contains_key("base"));
        }
    }

    #[test]
    fn kinds_are_read_and_other_forms_refused() {
        let graph = Graph::parse(&metadata(&[])).unwrap();
        let app = graph.members().next().unwrap();
        assert_eq!(app.edges.len(), 1);
        assert_eq!(app.edges[0].kinds, BTreeSet::from([Kind::Normal, Kind::Dev]));
        assert_eq!(Graph::parse(&json!({"version": 2})), None);
    }
}
