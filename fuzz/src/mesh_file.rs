//! The mesh file of a local mesh: what is read can be written and read again, and whatever is wrong is told with its
//! line.

use leno_dialects::yaml::documents;
use leno_local::mesh::{File, read};

use crate::Outcome;

/// Checks one input.
pub fn run(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::Refused };
    let files = [File { name: "mesh.yaml".into(), text: text.to_owned() }];
    let lines = text.split('\n').count();
    let in_text = |line: u32| (1..=lines).contains(&(line as usize));
    let mut outcome = Outcome::Refused;
    for root in [false, true] {
        match read(&files, root) {
            Ok(found) => {
                outcome = Outcome::Accepted;
                assert_eq!(found.file, 0);
                assert_eq!(found.service_lines.len(), found.mesh.spec.services.len());
                assert!(found.service_lines.iter().all(|line| in_text(*line)), "a service is nowhere");
                let text = serde_json::to_string(&found.mesh).expect("a mesh can be written");
                let again = read(&[File { name: "again.json".into(), text }], root);
                assert_eq!(again.map(|again| again.mesh).as_ref(), Ok(&found.mesh), "it doesn't survive");
            }
            Err(found) => {
                assert!(!found.is_empty(), "refused without a reason");
                let is_broken =
                    documents(&files[0].name, text).iter().any(|document| document.root.is_none());
                let says_where = found.iter().all(|found| found.location.line > 0);
                assert!(!is_broken || says_where, "a broken document goes unmentioned");
                for found in found {
                    assert!(found.location.line == 0 || in_text(found.location.line), "{found}");
                    assert!(!found.message.is_empty());
                }
            }
        }
    }
    outcome
}
