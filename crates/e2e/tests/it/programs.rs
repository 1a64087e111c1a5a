//! Programs that nobody here wrote, as they are, with ordinary configuration: each is a workload, and each is called
//! through the mesh by its own kind of client.

use std::{path::Path, time::Duration};

use leno_testkit::{
    mesh::{Declaration, Mesh, User},
    programs::{
        CURL, EXPRESS, GRPCIO, GUNICORN, HTTPBIN, MARIADB, MARIADB_CLIENT, MARIADB_INSTALL, NGINX, Node,
        POSTGRES, POSTGRES_INITDB, POSTGRES_PSQL, Python, REDIS, REDIS_CLI, Unavailable, node, or_skip,
        python_apart,
    },
    skip::skip,
};
use serde_json::Value;

/// Two databases make their files first, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn the_seven_programs_work_for_an_ordinary_user() {
    seven_programs("seven", User::Nobody);
}

#[test]
fn the_seven_programs_work_for_root() {
    if !User::Root.is_possible() {
        return skip("only root runs a mesh as root");
    }
    seven_programs("sevenroot", User::Root);
}

fn seven_programs(name: &str, user: User) {
    let Some(programs) = or_skip(Programs::find()) else { return };
    let mesh = programs.mesh(name, user).start();
    httpbin_answers(&mesh);
    express_answers(&mesh);
    nginx_answers(&mesh);
    grpc_answers(&mesh);
    redis_answers(&mesh);
    postgresql_answers(&mesh);
    mariadb_answers(&mesh);
    connections_are_mutual_tls(&mesh);
}

/// What the meshes are made of.
struct Programs {
    python: Python,
    node: Node,
    nginx: String,
    redis: String,
    postgres: String,
    initdb: String,
    mariadb: String,
    mariadb_install: String,
}

impl Programs {
    fn find() -> Result<Self, Unavailable> {
        for client in [CURL, REDIS_CLI, POSTGRES_PSQL, MARIADB_CLIENT] {
            client.find()?;
        }
        let path = |found: &Path| found.display().to_string();
        Ok(Self {
            python: python_apart("programs", &[GUNICORN, HTTPBIN, GRPCIO])?,
            node: node(&[EXPRESS])?,
            nginx: path(&NGINX.find()?),
            redis: path(&REDIS.find()?),
            postgres: path(&POSTGRES.find()?),
            initdb: path(&POSTGRES_INITDB.find()?),
            mariadb: path(&MARIADB.find()?),
            mariadb_install: path(&MARIADB_INSTALL.find()?),
        })
    }

    fn mesh(&self, name: &str, user: User) -> Declaration {
        // Databases refuse root, or would; the others get by without its rights, but for nginx, which gives them up.
        let as_user = |name: &str| match user {
            User::Root => format!("user: {name}, "),
            _ => String::new(),
        };
        let (nobody, root) = (as_user("nobody"), as_user("root"));
        let (redis_user, postgres_user, mysql_user) =
            (as_user("redis"), as_user("postgres"), as_user("mysql"));
        let Self { nginx, redis, postgres, initdb, mariadb, mariadb_install, node, .. } = self;
        let node = node.program.display();
        let spec = format!(
            "services:
  - {{name: httpbin, port: 80, targetPort: 8000, protocol: http}}
  - {{name: express, port: 3000}}
  - {{name: nginx, port: 80, protocol: http}}
  - {{name: grpc, port: 50051, protocol: grpc}}
  - {{name: redis, port: 6379}}
  - {{name: postgres, port: 5432}}
  - {{name: mariadb, port: 3306}}
workloads:
  - {{service: httpbin, {nobody}command: [python/bin/python, -m, gunicorn, --bind, '0.0.0.0:8000', 'httpbin:app']}}
  - {{service: express, {nobody}command: [{node}, express.js]}}
  - {{service: nginx, {root}command: '{nginx} -p $PWD -c $PWD/nginx.conf'}}
  - {{service: grpc, {nobody}command: [python/bin/python, server.py]}}
  - {{service: redis, {redis_user}command: [{redis}, redis.conf]}}
  - service: postgres
    {postgres_user}
    command: >-
      {initdb} -D /tmp/data -U app --auth trust --locale C --encoding UTF8 --no-sync &&
      exec {postgres} -D /tmp/data -k /tmp -c listen_addresses='*' -c shared_buffers=16MB
    health: {{command: [psql, -h, 127.0.0.1, -U, app, -c, 'select 1', postgres]}}
  - service: mariadb
    {mysql_user}
    command: >-
      {mariadb_install} --no-defaults --datadir=/tmp/data --auth-root-authentication-method=normal
      --skip-test-db {SMALL} &&
      exec {mariadb} --no-defaults --datadir=/tmp/data --socket=/tmp/mariadb.sock {SMALL}
    health: {{command: [mariadb, --no-defaults, -h, 127.0.0.1, -u, root, -e, 'select 1']}}
  - {{name: client, {nobody}command: [sleep, infinity]}}"
        );
        let spec = spec
            .replace("user: postgres, \n", "user: postgres\n")
            .replace("user: mysql, \n", "user: mysql\n");
        Declaration::new(name)
            .user(user)
            .spec(&spec)
            .folder("python", &self.python.root)
            .folder("node_modules", &self.node.modules)
            .file("express.js", EXPRESS_SERVER)
            .file("nginx.conf", NGINX_CONF)
            .file("page.html", "a page of nginx\n")
            .file("redis.conf", REDIS_CONF)
            .file("server.py", GRPC_SERVER)
            .file("client.py", GRPC_CLIENT)
            .file("client.js", NODE_CLIENT)
            .patience(PATIENCE)
    }
}

/// Files of a size for a test: the defaults take 100 MB.
const SMALL: &str =
    "--innodb-log-file-size=4M --innodb-buffer-pool-size=8M --innodb-flush-log-at-trx-commit=0";

const EXPRESS_SERVER: &str = "\
const app = require('express')();
app.get('/headers', (request, response) => response.json(request.headers));
app.listen(3000);
";

/// `user` matters to root alone.
pub(crate) const NGINX_CONF: &str = "\
daemon off;
user www-data;
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 80;
    location = /page.html { root .; add_header x-seen $http_x_forwarded_client_cert; }
  }
}
";

/// Open to all in its world, and without files.
pub(crate) const REDIS_CONF: &str = "bind 0.0.0.0\nprotected-mode no\nsave \"\"\ndir /tmp\n";

/// All four kinds of call, without generated code.
const GRPC_SERVER: &str = "\
from concurrent import futures
import grpc

def caller(context):
    return dict(context.invocation_metadata()).get('x-forwarded-client-cert', '').encode()

def unary(request, context):
    return b'unary ' + request + b' ' + caller(context)

def server_stream(request, context):
    for number in range(3):
        yield b'%d' % number

def client_stream(requests, context):
    return b'+'.join(requests)

def both(requests, context):
    for request in requests:
        yield b'echo ' + request

handlers = {
    'Unary': grpc.unary_unary_rpc_method_handler(unary),
    'ServerStream': grpc.unary_stream_rpc_method_handler(server_stream),
    'ClientStream': grpc.stream_unary_rpc_method_handler(client_stream),
    'Both': grpc.stream_stream_rpc_method_handler(both),
}
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('Echo', handlers),))
server.add_insecure_port('0.0.0.0:50051')
server.start()
server.wait_for_termination()
";

const GRPC_CLIENT: &str = "\
import grpc

with grpc.insecure_channel('grpc:50051') as channel:
    print(channel.unary_unary('/Echo/Unary')(b'call', timeout=10).decode())
    print(b','.join(channel.unary_stream('/Echo/ServerStream')(b'', timeout=10)).decode())
    print(channel.stream_unary('/Echo/ClientStream')(iter([b'a', b'b']), timeout=10).decode())
    print(b','.join(channel.stream_stream('/Echo/Both')(iter([b'c', b'd']), timeout=10)).decode())
";

const NODE_CLIENT: &str = "\
fetch('http://httpbin/headers').then(answer => answer.text()).then(text => console.log(text));
";

/// Runs a client in the workload that calls others; panics unless it succeeds.
#[track_caller]
fn client(mesh: &Mesh, command: &[&str]) -> String {
    let output = mesh.exec("client", command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {output:?}\n{}", mesh.output());
    text
}

#[track_caller]
fn curl(mesh: &Mesh, arguments: &[&str]) -> String {
    let mut command = vec!["curl", "--silent", "--show-error", "--fail", "--max-time", "20"];
    command.extend(arguments);
    client(mesh, &command)
}

/// The header by which a server's sidecar names both ends of the connection that it accepted.
#[track_caller]
fn assert_proved(xfcc: &str, service: &str) {
    let (by, uri) = (identity(service), identity("client"));
    assert!(xfcc.contains(&format!("By={by};")) && xfcc.contains(&format!("URI={uri}")), "{service}: {xfcc}");
}

fn identity(account: &str) -> String {
    format!("spiffe://cluster.local/ns/default/sa/{account}")
}

fn httpbin_answers(mesh: &Mesh) {
    let answer: Value =
        serde_json::from_str(&curl(mesh, &["http://httpbin/anything?x=1", "-d", "a=b"])).unwrap();
    assert_eq!((&answer["args"]["x"], &answer["form"]["a"]), (&"1".into(), &"b".into()), "{answer}");
    assert_proved(answer["headers"]["X-Forwarded-Client-Cert"].as_str().unwrap(), "httpbin");
    assert!(!curl(mesh, &["http://httpbin/bytes/1000?seed=1"]).is_empty());
    let by_node = client(mesh, &["node", "client.js"]);
    assert_proved(&by_node, "httpbin");
}

fn express_answers(mesh: &Mesh) {
    let answer: Value = serde_json::from_str(&curl(mesh, &["http://express:3000/headers"])).unwrap();
    assert_proved(answer["x-forwarded-client-cert"].as_str().unwrap(), "express");
}

fn nginx_answers(mesh: &Mesh) {
    let answer = curl(mesh, &["-i", "http://nginx.default.svc.cluster.local/page.html"]);
    assert!(answer.ends_with("\r\n\r\na page of nginx\n"), "{answer}");
    let seen = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("x-seen:"));
    assert_proved(seen.unwrap_or_default(), "nginx");
}

fn grpc_answers(mesh: &Mesh) {
    let answer = client(mesh, &["python/bin/python", "client.py"]);
    let lines: Vec<&str> = answer.lines().collect();
    let [unary, rest @ ..] = lines.as_slice() else { panic!("{answer}") };
    assert!(unary.starts_with("unary call "), "{answer}");
    assert_proved(unary, "grpc");
    assert_eq!(rest, ["0,1,2", "a+b", "echo c,echo d"]);
}

fn redis_answers(mesh: &Mesh) {
    assert_eq!(client(mesh, &["redis-cli", "-h", "redis", "set", "key", "a value"]).trim(), "OK");
    assert_eq!(client(mesh, &["redis-cli", "-h", "redis", "get", "key"]).trim(), "a value");
}

fn postgresql_answers(mesh: &Mesh) {
    let psql = |sql: &str| {
        client(
            mesh,
            &["psql", "-h", "postgres", "-U", "app", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"],
        )
    };
    psql("create table books (title text)");
    psql("insert into books select 'book ' || n from generate_series(1, 10000) n");
    assert_eq!(psql("select count(*) from books").trim(), "10000");
    assert_eq!(psql("select title from books").lines().count(), 10_000);
}

fn mariadb_answers(mesh: &Mesh) {
    let sql = "create database shop; create table shop.books (title text); \
               insert into shop.books values ('first'); select title from shop.books";
    let answer = client(mesh, &["mariadb", "--no-defaults", "-h", "mariadb", "-u", "root", "-N", "-e", sql]);
    assert_eq!(answer.trim(), "first");
}

/// Each server's own sidecar has counted its connections, with the identities that both ends proved.
fn connections_are_mutual_tls(mesh: &Mesh) {
    for service in ["redis", "postgres", "mariadb"] {
        let metrics = mesh.metrics(service);
        let opened = metrics.lines().find(|line| {
            line.starts_with("istio_tcp_connections_opened_total{")
                && line.contains("reporter=\"destination\"")
                && line.contains("connection_security_policy=\"mutual_tls\"")
                && line.contains(&format!("source_principal=\"{}\"", identity("client")))
                && line.contains(&format!("destination_principal=\"{}\"", identity(service)))
        });
        assert!(opened.is_some(), "{service}: {metrics}");
    }
}
