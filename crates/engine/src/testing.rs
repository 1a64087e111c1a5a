//! What tests are made of: requests, origins, and the settings of property tests.

pub(crate) mod mesh;

use std::borrow::Cow;

use leno_model::request::RequestView;
use leno_model::span::{Location, ObjectRef, Origin};
use proptest::test_runner::Config;

/// A request as text.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    /// `GET http://shop.example.com` and the target's path and query.
    pub(crate) fn get(target: &str) -> Self {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Self {
            method: "GET".into(),
            scheme: "http".into(),
            authority: "shop.example.com".into(),
            path: path.into(),
            query: query.map(Into::into),
            headers: Vec::new(),
        }
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    pub(crate) fn authority(mut self, authority: &str) -> Self {
        self.authority = authority.into();
        self
    }

    pub(crate) fn scheme(mut self, scheme: &str) -> Self {
        self.scheme = scheme.into();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl RequestView for Request {
    fn method(&self) -> &str {
        &self.method
    }

    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut lines = self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_bytes());
        let first = lines.next()?;
        let rest: Vec<_> = lines.collect();
        if rest.is_empty() {
            return Some(Cow::Borrowed(first));
        }
        Some(Cow::Owned([&[first], rest.as_slice()].concat().join(&b',')))
    }
}

/// Line `line` of `test.yaml`.
pub(crate) fn origin(line: usize) -> Origin {
    Origin {
        object: ObjectRef { kind: "Test".into(), namespace: "default".into(), name: "test".into() },
        location: Location { file: "test.yaml".into(), line: u32::try_from(line).unwrap(), column: 1 },
    }
}

/// Property tests write no files beside the sources.
pub(crate) fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}
