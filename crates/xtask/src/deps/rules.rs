//! The policy applied to a graph.

use std::collections::BTreeSet;

use super::{
    graph::{Edge, Graph, Kind, Package},
    licence,
    policy::{BANNED, BESIDE, FLOORS, IMPURE, LICENCES, PURE, PURE_MAY, USES},
};

/// Every violation, in words that name the package and the rule.
pub(crate) fn check(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    for package in graph.packages.values() {
        problems.extend(licence(package));
        problems.extend(banned(package, graph));
    }
    for member in graph.members() {
        problems.extend(place(member));
        for edge in &member.edges {
            let Some(target) = graph.packages.get(&edge.to) else { continue };
            problems.extend(uses(member, edge, target));
            problems.extend(floor(member, edge, target));
            problems.extend(purity(member, edge, target));
        }
        if PURE.contains(&member.name.as_str()) {
            problems.extend(reach(member, graph));
        }
    }
    problems
}

fn licence(package: &Package) -> Option<String> {
    let Package { name, version, licence, is_member, .. } = package;
    let Some(expression) = licence else { return Some(format!("{name} {version} states no licence")) };
    if *is_member && expression != "Apache-2.0" {
        return Some(format!("{name} is ours and must say Apache-2.0, not {expression}"));
    }
    let permits = licence::permits(expression, |licence| LICENCES.contains(&licence));
    (!permits)
        .then(|| format!("{name} {version} has the licence {expression}, which the policy doesn't list"))
}

fn banned(package: &Package, graph: &Graph) -> Option<String> {
    let (name, reason) = BANNED.iter().find(|(name, _)| *name == package.name)?;
    let users = graph.packages.values().filter(|user| {
        let to = |edge: &Edge| graph.packages.get(&edge.to).is_some_and(|target| target.name == *name);
        user.edges.iter().any(to)
    });
    let users: Vec<&str> = users.map(|user| user.name.as_str()).collect();
    Some(format!("{name} is banned: {reason} (used by {})", users.join(", ")))
}

/// Product code, as opposed to tests and build scripts.
fn is_normal(edge: &Edge) -> bool {
    edge.kinds.contains(&Kind::Normal)
}

fn floor_of(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(crate_, _)| *crate_ == name).map(|(_, floor)| *floor)
}

fn place(member: &Package) -> Option<String> {
    let name = member.name.as_str();
    let is_known = floor_of(name).is_some() || BESIDE.contains(&name);
    (!is_known).then(|| format!("{name} has no place on the map: add it to crates/xtask/src/deps/policy.rs"))
}

fn uses(member: &Package, edge: &Edge, target: &Package) -> Option<String> {
    let rule = USES.iter().find(|rule| rule.package == target.name)?;
    let name = member.name.as_str();
    let may = rule.normal.contains(&name) || (!is_normal(edge) && rule.beside.contains(&name));
    let place = if is_normal(edge) { "" } else { " even in tests or build scripts" };
    (!may).then(|| format!("{name} may not use {}{place}: {}", target.name, rule.reason))
}

fn floor(member: &Package, edge: &Edge, target: &Package) -> Option<String> {
    if !target.is_member || BESIDE.contains(&member.name.as_str()) {
        return None;
    }
    let (name, target) = (&member.name, &target.name);
    if BESIDE.contains(&target.as_str()) {
        return is_normal(edge)
            .then(|| format!("{name} uses {target} in product code, which is for tests only"));
    }
    let (own, other) = (floor_of(name)?, floor_of(target)?);
    // Tests may look sideways, never up.
    let is_allowed = if is_normal(edge) { other < own } else { other <= own };
    (!is_allowed)
        .then(|| format!("{name} (floor {own}) uses {target} (floor {other}); only lower floors are allowed"))
}

fn purity(member: &Package, edge: &Edge, target: &Package) -> Option<String> {
    let is_concerned = PURE.contains(&member.name.as_str()) && is_normal(edge) && !target.is_member;
    let is_wrong = is_concerned && !PURE_MAY.contains(&target.name.as_str());
    is_wrong.then(|| format!("{} is pure and may not use {}", member.name, target.name))
}

/// What a pure crate reaches through others.
fn reach(member: &Package, graph: &Graph) -> Vec<String> {
    let (mut left, mut reached) = (vec![member], BTreeSet::new());
    while let Some(package) = left.pop() {
        let targets = package.edges.iter().filter(|edge| is_normal(edge));
        for target in targets.filter_map(|edge| graph.packages.get(&edge.to)) {
            if reached.insert(target.name.as_str()) {
                left.push(target);
            }
        }
    }
    let impure = IMPURE.iter().filter(|name| reached.contains(**name));
    impure.map(|name| format!("{} is pure and reaches {name}", member.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph from lines `USER -> USED` with `(dev)` behind for tests; names of ours begin with `leno`.
    fn graph(lines: &[&str]) -> Graph {
        let mut graph = Graph::default();
        for line in lines {
            let (kind, line) = match line.strip_suffix(" (dev)") {
                Some(line) => (Kind::Dev, line),
                None => (Kind::Normal, *line),
            };
            let (user, used) = line.split_once(" -> ").unwrap();
            for name in [user, used] {
                let is_member = name.starts_with("leno") || name == "xtask";
                graph.packages.entry(name.to_owned()).or_insert_with(|| Package {
                    name: name.to_owned(),
                    licence: Some("Apache-2.0".to_owned()),
                    is_member,
                    ..Package::default()
                });
            }
            let edge = Edge { to: used.to_owned(), kinds: BTreeSet::from([kind]) };
            graph.packages.get_mut(user).unwrap().edges.push(edge);
        }
        graph
    }

    fn problems(lines: &[&str]) -> String {
        check(&graph(lines)).join("\n")
    }

    #[test]
    fn what_the_policy_allows_passes() {
        for lines in [
            &["leno-proxy -> leno-wire", "leno-wire -> tonic"][..],
            &["leno-sample -> h2", "leno-http -> h2 (dev)", "leno-http -> hyper (dev)"],
            &["leno-proxy -> leno-testkit (dev)"],
            &["leno-wire -> leno-identity (dev)", "leno-engine -> leno-dialects (dev)"],
            &["leno-engine -> regex", "leno-engine -> proptest (dev)", "proptest -> rustix"],
            &["xtask -> anyhow", "leno-e2e -> leno-cli"],
        ] {
            assert_eq!(problems(lines), "", "{lines:?}");
        }
    }

    #[test]
    fn what_it_forbids_is_named() {
        for (lines, expected) in [
            (&["leno-proxy -> libc"][..], "leno-proxy may not use libc: raw system calls"),
            (&["leno-engine -> h2 (dev)"], "leno-engine may not use h2 even in tests"),
            (&["leno-http -> h2"], "leno-http may not use h2: the data path's HTTP/2 is http's own"),
            (&["leno-http -> leno-proxy"], "leno-http (floor 1) uses leno-proxy (floor 3)"),
            (&["leno-proxy -> leno-control"], "leno-proxy (floor 3) uses leno-control (floor 3)"),
            (&["leno-http -> leno-proxy (dev)"], "only lower floors"),
            (&["leno-proxy -> leno-testkit"], "for tests only"),
            (&["leno-engine -> bytes"], "leno-engine is pure and may not use bytes"),
            (
                &["leno-engine -> regex", "regex -> helper", "helper -> tokio"],
                "leno-engine is pure and reaches tokio",
            ),
            (&["leno-identity -> webpki", "webpki -> ring"], "ring is banned"),
            (&["leno-identity -> webpki", "webpki -> ring"], "(used by webpki)"),
            (&["leno-new -> anything"], "leno-new has no place on the map"),
        ] {
            let problems = problems(lines);
            assert!(problems.contains(expected), "{lines:?}: {problems}");
        }
    }

    #[test]
    fn licences_are_checked() {
        for (name, licence, expected) in [
            ("other", Some("MIT OR GPL-3.0-only"), ""),
            ("other", Some("GPL-3.0-only"), "has the licence GPL-3.0-only"),
            ("other", None, "states no licence"),
            ("leno", Some("MIT"), "must say Apache-2.0"),
        ] {
            let mut graph = graph(&["leno -> other"]);
            graph.packages.get_mut(name).unwrap().licence = licence.map(ToOwned::to_owned);
            let problems = check(&graph).join("\n");
            assert!(problems.contains(expected) && problems.is_empty() == expected.is_empty(), "{problems}");
        }
    }
}
