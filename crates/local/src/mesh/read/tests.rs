use super::*;

fn read_text(text: &str) -> Result<Found, Vec<String>> {
    let file = File { name: "mesh.yaml".into(), text: text.to_owned() };
    read(&[file], false).map_err(|found| found.iter().map(ToString::to_string).collect())
}

/// A sound mesh with `change` in place of what it names.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(SOUND.contains(from), "{from}");
    read_text(&SOUND.replacen(from, to, 1)).map(|_found| ()).unwrap_err()
}

const SOUND: &str = "\
apiVersion: v1
kind: Service
metadata: {name: other}
---
apiVersion: leno.dev/v1alpha1
kind: LocalMesh
metadata:
  name: shop
spec:
  services:
    - name: cart
      port: 80
      publish: 8080
    - name: db
      ports:
        - port: 5432
          protocol: tcp
  workloads:
    - service: cart
      version: 1.0
      command: [cart, --port, 80]
      env: {PORT: 8080, DEBUG: true, EMPTY: ''}
      health:
        http: {path: /healthz}
        interval: 500ms
      dependsOn: [db]
    - service: db
      command: exec db
      share:
";

#[test]
fn a_sound_mesh_is_read_among_other_documents() {
    let found = read_text(SOUND).unwrap();
    assert_eq!(found.service_lines, [11, 14]);
    let [cart, db] = &found.mesh.spec.workloads[..] else { panic!("two workloads") };
    assert_eq!((cart.name().as_str(), cart.version.as_deref()), ("cart-1-0", Some("1.0")));
    assert_eq!(cart.command.words(), ["cart", "--port", "80"]);
    assert_eq!(cart.env["PORT"], "8080");
    assert_eq!(cart.env["DEBUG"], "true");
    assert_eq!(db.command.words(), ["/bin/sh", "-c", "exec db"]);
    assert!(db.share.is_empty());
}

#[test]
fn problems_name_line_and_remedy() {
    let cases = [
        (
            ("dependsOn:", "dependOn:"),
            "mesh.yaml:26: error[LENO0023]: spec.workloads[0]: unknown field `dependOn`\n  help: did you mean dependsOn?",
        ),
        (
            ("protocol: tcp", "protocol: udp"),
            "mesh.yaml:17: error[LENO0022]: spec.services[1].ports[0].protocol: unknown value `udp`\n  help: choose one of http, http2, grpc, tls, tcp",
        ),
        (
            ("port: 80\n", "port: eighty\n"),
            "mesh.yaml:12: error[LENO0020]: spec.services[0].port: invalid type: string \"eighty\"\n  \
             help: write a whole number up to 65535",
        ),
        (
            ("interval: 500ms", "interval: 500"),
            "mesh.yaml:25: error[LENO0022]: spec.workloads[0].health.interval: invalid value \"500\"\n  help: write a \
             duration such as 250ms, 2s or 1m30s",
        ),
        (
            ("      command: exec db\n", ""),
            "mesh.yaml:27: error[LENO0021]: spec.workloads[1]: missing field `command`\n  help: add it",
        ),
        (
            ("dependsOn: [db]", "dependsOn: [cache]"),
            "mesh.yaml:26: error[LENO0022]: spec.workloads[0].dependsOn[0]: no workload \"cache\"\n  help: there \
             are: cart-1-0, db",
        ),
        (
            ("    - service: db", "    - service: db\n      user: postgres"),
            "mesh.yaml:28: error[LENO0022]: spec.workloads[1].user: only root can change users\n  help: remove it",
        ),
        (
            ("metadata:\n", "metadata:\n  name: twice\n"),
            "mesh.yaml:9: error[LENO0002]: the key `name` is already on line 8\n  help: remove one of the two",
        ),
        (
            ("dependsOn: [db]", "dependsOn: [db"),
            "mesh.yaml:27: error[LENO0001]: illegal placement of ':' indicator\n  help: see the place named; indentation \
             and quotes are the usual causes",
        ),
        (
            ("kind: LocalMesh", "kind: Local"),
            "mesh.yaml: error[LENO0021]: no document of kind LocalMesh in this file\n  help: name the file that has \
             `apiVersion: leno.dev/v1alpha1` and `kind: LocalMesh`",
        ),
    ];
    for ((from, to), expected) in cases {
        let found = changed(from, to);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{from} -> {to}");
    }
}

#[test]
fn a_mesh_is_one_document() {
    let (_, mesh) = SOUND.split_once("---\n").unwrap();
    let twice = read_text(&format!("{SOUND}---\n{mesh}")).map(|_found| ()).unwrap_err();
    assert_eq!(
        twice,
        [
            "mesh.yaml:31: error[LENO0036]: a second LocalMesh; the first is in mesh.yaml\n  help: leave one of them"
        ]
    );
}
