//! Users by name, from `/etc/passwd` and `/etc/group`.
//!
//! Read here rather than asked of the C library, whose answer may load plugins and talk to daemons.
//! Users that only such a daemon knows are given by number.

use std::{fs, io};

use leno_capture::process::Credentials;
use serde::{Deserialize, Serialize};

/// Whom a workload runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct User {
    /// The name, where it has one.
    pub(crate) name: Option<String>,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: Option<String>,
}

/// Why a user isn't known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a name nor numbers.
    #[error("no user {0:?} in /etc/passwd; give `user: UID:GID` for one that is known elsewhere")]
    Unknown(String),
    /// A list can't be read.
    #[error("can't read {0}")]
    Read(&'static str, #[source] io::Error),
}

impl User {
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials { user: self.user, group: self.group, groups: self.groups.clone() }
    }
}

/// The user that the mesh file calls `text`: a name, `UID` or `UID:GID`.
pub(crate) fn find(text: &str) -> Result<User, Error> {
    let read = |path| fs::read_to_string(path).map_err(|error| Error::Read(path, error));
    find_in(text, &read("/etc/passwd")?, &read("/etc/group")?).ok_or_else(|| Error::Unknown(text.to_owned()))
}

fn find_in(text: &str, passwd: &str, group: &str) -> Option<User> {
    let (user, given_group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.first() == Some(&user) || fields.get(2) == Some(&user) && user.parse::<u32>().is_ok()
    });
    let number = match &entry {
        Some(fields) => fields.get(2)?.parse().ok()?,
        None => user.parse().ok()?,
    };
    let primary = match given_group {
        Some(name) => group_number(name, group)?,
        None => match &entry {
            Some(fields) => fields.get(3)?.parse().ok()?,
            None => number,
        },
    };
    let name = entry.as_ref().and_then(|fields| fields.first()).map(|name| (*name).to_owned());
    let groups = name.as_deref().map_or_else(Vec::new, |name| groups_of(name, group));
    let home = entry.and_then(|fields| fields.get(5).map(|home| (*home).to_owned()));
    Some(User { name, user: number, group: primary, groups, home })
}

fn group_number(name: &str, group: &str) -> Option<u32> {
    let lines = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let by_name =
        lines.filter(|fields| fields.first() == Some(&name)).find_map(|fields| fields.get(2)?.parse().ok());
    by_name.or_else(|| name.parse().ok())
}

fn groups_of(name: &str, group: &str) -> Vec<u32> {
    let lines = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines
        .filter(|fields| fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name)))
        .filter_map(|fields| fields.get(2)?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104::/var/lib/postgresql:/bin/sh\n";
        let group = "root:x:0:\nssl-cert:x:103:postgres,www\npostgres:x:104:\n";
        let cases = [
            ("root", Some("0 0 []")),
            ("postgres", Some("101 104 [103]")),
            ("101", Some("101 104 [103]")),
            ("postgres:root", Some("101 0 [103]")),
            ("1234", Some("1234 1234 []")),
            ("1234:5", Some("1234 5 []")),
            ("nobody", None),
            ("root:nogroup", None),
        ];
        for (text, expected) in cases {
            let found = find_in(text, passwd, group);
            let found = found.map(|user| format!("{} {} {:?}", user.user, user.group, user.groups));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        assert_eq!(find_in("x", "garbage\n::\nx\n", ""), None);
    }
}
