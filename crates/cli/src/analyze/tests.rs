use std::fs;
use std::path::PathBuf;

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// A directory of files that is gone with the value.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("leno-analyze-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("config")).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
        Self(path)
    }

    /// The report on these paths of the directory, with these flags.
    fn analyze(&self, paths: &[&str], flags: &[&str]) -> Report {
        let paths: Vec<PathBuf> = paths.iter().map(|path| self.0.join(path)).collect();
        let line = Line::try_parse_from(["analyze"].iter().chain(flags)).unwrap();
        let mut report = report(offline::check(&paths).unwrap(), &line.arguments);
        for finding in &mut report.findings {
            finding.file = finding.file.replace(&format!("{}/", self.0.display()), "").replace("./", "");
        }
        report
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.0);
    }
}

const MESH: &str = "\
apiVersion: leno.dev/v1alpha1
kind: LocalMesh
metadata: {name: shop}
spec:
  services:
    - {name: reviews, port: 9080, protocol: http}
    - {name: nobody, port: 80}
  workloads:
    - {service: reviews, version: v1, command: reviews}
";

const ROUTES: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
    - timeuot: 3s
      route: [{destination: {host: reviews}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [reviws]
  http: [{route: [{destination: {host: reviews, subset: v9}}]}]
";

fn lines(report: &Report) -> Vec<String> {
    report
        .findings
        .iter()
        .map(|found| {
            format!(
                "{}:{}:{} {} {}",
                found.file,
                found.line,
                found.column,
                found.severity.as_str(),
                found.code
            )
        })
        .collect()
}

/// The mesh file may be run by anybody.
fn mesh() -> String {
    let user = if leno_local::up::as_root().unwrap() { ", user: nobody" } else { "" };
    MESH.replace(", command: reviews}", &format!(", command: reviews{user}}}"))
}

#[test]
fn objects_are_checked_with_the_mesh_that_they_are_for() {
    let directory = Directory::new("mesh", &[("mesh.yaml", &mesh()), ("config/routes.yaml", ROUTES)]);
    let report = directory.analyze(&["mesh.yaml", "config"], &[]);
    assert_eq!((report.mesh.as_deref(), report.complete, report.failed), (Some("shop"), true, true));
    let lines = lines(&report);
    let found = |line: &str| lines.iter().any(|found| found == line);
    assert!(found("config/routes.yaml:7:7 error LENO0023"), "an unknown field: {lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("warning LENO0062")), "a host of no service: {lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("warning IST0101")), "a subset of no rule: {lines:?}");
    assert!(found("mesh.yaml:7:0 warning LENO0060"), "a service without workload: {lines:?}");
    let mut sorted = report.findings.clone();
    sorted.sort();
    assert_eq!(report.findings, sorted);
    assert_eq!(report.counts.error, 1);
}

#[test]
fn a_file_is_read_once_however_it_is_named() {
    let directory = Directory::new("once", &[("mesh.yaml", &mesh()), ("config/routes.yaml", ROUTES)]);
    let once = directory.analyze(&["mesh.yaml", "config"], &[]);
    let thrice = directory.analyze(&["config/routes.yaml", "mesh.yaml", "config/../config", "."], &[]);
    assert_eq!(once.counts, thrice.counts);
    assert_eq!(once.objects, thrice.objects);
}

#[test]
fn a_refused_mesh_file_is_told_without_what_would_follow_from_it() {
    let wrong = mesh().replace("port: 9080", "prot: 9080");
    let directory = Directory::new("refused", &[("mesh.yaml", &wrong), ("config/routes.yaml", ROUTES)]);
    let report = directory.analyze(&["."], &[]);
    let lines = lines(&report);
    assert!(!report.complete && report.failed, "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("mesh.yaml:6:")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("config/routes.yaml:7:")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("LENO0062")), "{lines:?}");
    assert!(text(&report).pop().unwrap().contains("once the mesh file is right"));
}

#[test]
fn thresholds_namespaces_and_suppressions_choose() {
    let directory = Directory::new("choose", &[("mesh.yaml", &mesh()), ("config/routes.yaml", ROUTES)]);
    let analyze = |flags: &[&str]| directory.analyze(&["."], flags);
    let all = analyze(&[]);
    let errors = analyze(&["--output-threshold", "Error"]);
    assert_eq!((errors.findings.len(), errors.failed), (1, true));
    let suppressed = analyze(&["-S", "LENO0023=VirtualService *.default"]);
    assert!(!suppressed.failed && suppressed.counts.suppressed == 1);
    assert_eq!(suppressed.findings.len(), all.findings.len() - 1);
    let strict = analyze(&["--suppress", "LENO0023", "--failure-threshold=warning"]);
    assert!(strict.failed);
    let elsewhere = analyze(&["-n", "elsewhere"]);
    assert!(elsewhere.findings.is_empty() && !elsewhere.failed);
    assert!(text(&elsewhere).pop().unwrap().starts_with("no findings in "));
    // What scripts for istioctl say changes nothing.
    assert_eq!(analyze(&["-A", "--color=false", "--recursive"]).findings, all.findings);
}

#[test]
fn what_is_not_there_is_an_error() {
    let error = offline::check(&["/no/such/file.yaml".into()]).unwrap_err();
    assert_eq!(error.to_string(), "/no/such/file.yaml cannot be read");
    assert!(Line::try_parse_from(["analyze", "-S", "IST0101=reviews"]).is_err());
}
