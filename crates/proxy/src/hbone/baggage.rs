//! What a peer says about itself: the header `baggage` in Istio's words.
//!
//! A claim, cut down to what metrics read. What can't be a label's value is left out, and nothing is refused for it.

use leno_http::head::Fields;
use leno_wire::limits::MAX_OPEN_TEXT;
use leno_wire::open::Source;

use crate::local::Local;

/// The header (W3C Baggage).
pub(super) const NAME: &str = "baggage";

const CLUSTER: &str = "k8s.cluster.name";
const NAMESPACE: &str = "k8s.namespace.name";
const OWNER: &str = "k8s.deployment.name";
const POD: &str = "k8s.pod.name";
const APP: &str = "service.name";
const VERSION: &str = "service.version";
/// Labels by which metrics know an application, the first of them in Istio's order.
const APP_LABEL: &str = "service.istio.io/canonical-name";
const VERSION_LABEL: &str = "service.istio.io/canonical-revision";

/// What the workload says about itself.
pub(super) fn write(local: &Local) -> String {
    let label = |keys: &[&str]| keys.iter().find_map(|key| local.labels.value(key)).unwrap_or_default();
    let pairs = [
        (CLUSTER, &*local.cluster),
        (NAMESPACE, &*local.name.namespace),
        (OWNER, &*local.owner),
        (POD, &*local.name.name),
        (APP, label(&[APP_LABEL, "app.kubernetes.io/name", "app"])),
        (VERSION, label(&[VERSION_LABEL, "app.kubernetes.io/version", "version"])),
    ];
    let said = pairs.iter().filter(|(_, value)| !value.is_empty() && is_plain(value));
    said.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// What a peer says about itself.
pub(super) fn read(fields: &Fields) -> Source {
    let mut source = Source::default();
    let (mut pod, mut labels) = (None, Vec::new());
    for line in fields.get_all(NAME).filter_map(|line| std::str::from_utf8(line).ok()) {
        for (key, value) in line.split(',').filter_map(|member| member.split_once('=')) {
            let value = value.split(';').next().unwrap_or_default().trim();
            if value.is_empty() || !is_plain(value) {
                continue;
            }
            match key.trim() {
                CLUSTER => source.cluster = value.into(),
                NAMESPACE => source.namespace = value.into(),
                POD => pod = Some(value.into()),
                OWNER | "k8s.job.name" | "k8s.cronjob.name" => source.owner = value.into(),
                APP => labels.push((APP_LABEL, value)),
                VERSION => labels.push((VERSION_LABEL, value)),
                _ => {}
            }
        }
    }
    source.labels.0.extend(labels.into_iter().map(|(key, value)| (key.into(), value.into())));
    // Callers without a pod's name are told apart by what they belong to.
    source.workload = pod.unwrap_or_else(|| source.owner.clone());
    if source.owner.is_empty() {
        source.owner = source.workload.clone();
    }
    source
}

/// Names need no encoding; whatever does is none.
fn is_plain(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':');
    value.len() <= MAX_OPEN_TEXT && value.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leno_http::head::{RequestHead, Scheme};

    fn source(value: &str) -> Source {
        let mut head = RequestHead::new(http::Method::CONNECT, Scheme::Http, "10.0.0.1:80", "").unwrap();
        head.fields_mut().set(NAME, value.as_bytes()).unwrap();
        read(head.fields())
    }

    /// As ztunnel writes it.
    #[test]
    fn what_others_say_is_understood() {
        let said = "k8s.cluster.name=one,k8s.namespace.name=shop, k8s.deployment.name=web;p=1,service.name=front,service.version=v2,cloud.region=x";
        let source = source(said);
        assert_eq!((&*source.cluster, &*source.namespace), ("one", "shop"));
        assert_eq!((&*source.owner, &*source.workload), ("web", "web"));
        assert_eq!(source.labels.value(APP_LABEL), Some("front"));
        assert_eq!(source.labels.value(VERSION_LABEL), Some("v2"));
    }

    #[test]
    fn what_could_break_a_label_is_left_out() {
        let long = format!("k8s.namespace.name={}", "a".repeat(MAX_OPEN_TEXT + 1));
        for said in
            ["", "=", ",,", "k8s.namespace.name", "k8s.namespace.name=a\"b", "k8s.pod.name=%0a", &long]
        {
            assert_eq!(source(said), Source::default(), "{said}");
        }
    }
}
