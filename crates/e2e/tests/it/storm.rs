//! A hop that fails everything, three hops deep: retries at every hop must not multiply.

use leno_testkit::mesh::{Declaration, Mesh};

use crate::alone;

const RATE: u64 = 500;
const SECONDS: u64 = 10;

/// Three services, each of which calls the next; the last fails every request.
const SPEC: &str = "services:
  - {name: one, port: 8000, protocol: http}
  - {name: two, port: 8000, protocol: http}
  - {name: three, port: 8000, protocol: http}
workloads:
  - {name: caller, command: [sleep, infinity]}
  - service: one
    version: v1
    command: [leno-sample, serve, one, '--listen=http://:8000', '--call=two=http://two:8000/']
  - service: two
    version: v1
    command: [leno-sample, serve, two, '--listen=http://:8000', '--call=three=http://three:8000/']
  - service: three
    version: v1
    command: [leno-sample, serve, three, '--listen=http://:8000', '--error-rate=1']
";

fn retries(service: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {service}}}
spec:
  hosts: [{service}]
  http:
  - retries: {{attempts: 3, retryOn: 5xx}}
    route: [{{destination: {{host: {service}}}}}]
---
"
    )
}

fn arrived(mesh: &Mesh, replica: &str) -> f64 {
    mesh.counted(replica).sum("istio_requests_total", &[("reporter", "destination")])
}

#[test]
fn retries_do_not_multiply_over_hops() {
    let _alone = alone();
    let routes: String = ["one", "two", "three"].map(retries).concat();
    let mesh = Declaration::new("storm").spec(SPEC).config("routes.yaml", routes).start();
    let (rate, duration) = (RATE.to_string(), format!("{SECONDS}s"));
    let arguments = ["http://one:8000/", "--rate", &rate, "--connections", "32", "--duration", &duration];
    let report = mesh.load("caller", &arguments);
    let [asked, failed] = ["sent", "failed"].map(|key| report[key].as_f64().unwrap_or_default());
    let begun = asked.max(failed);
    // Only then does it say something: every request was sent, and every one failed.
    assert!(begun >= (RATE * SECONDS) as f64 * 0.9, "{report}");
    let [one, two, three] = ["one-v1", "two-v1", "three-v1"].map(|replica| arrived(&mesh, replica));
    let load = |count: f64| count / begun;
    println!("load of the hops: {:.3}, {:.3}, {:.3}", load(one), load(two), load(three));
    assert!(load(three) > 1.1, "retries were made: {three} of {begun}");
    assert!(load(three) <= 1.25, "the failing hop got {three} of {begun}; the others {one} and {two}");
    let settled = mesh.counted("one-v1").sum("leno_retries_total", &[("outcome", "settled")]);
    assert!(settled > 0.0, "the hop above was told");
}
