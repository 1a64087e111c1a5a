//! A service of endpoints that others wrote: nginx, HAProxy and Node, and one of the sample's, each on two ports, for
//! HTTP/1 and for HTTP/2.

use std::path::Path;

use leno_testkit::{
    mesh::{Declaration, Mesh, User, eventually, free_port},
    programs::{HAPROXY, NGINX, Node, Unavailable, node},
};

/// Node's replicas: each has a fault of its own, since what was learnt about an endpoint outlasts its fault.
pub(super) const NODES: usize = 6;

/// How long certificates are valid, in seconds, and after how much of that they are renewed, in percent.
const LIFETIME: u64 = 60;
const RENEWAL: u64 = 10;

/// Seconds in which every proxy renews its certificate.
pub(super) const ROTATION: u64 = LIFETIME * RENEWAL / 100 + 1;

/// The programs, where they are installed.
pub(super) struct Programs {
    nginx: String,
    haproxy: String,
    node: Node,
}

/// The mesh, and the host's ports that lead to the service through its gateway.
pub(super) struct Fleet {
    pub(super) mesh: Mesh,
    pub(super) published: [u16; 2],
}

impl Programs {
    pub(super) fn find() -> Result<Self, Unavailable> {
        let path = |found: &Path| found.display().to_string();
        Ok(Self { nginx: path(&NGINX.find()?), haproxy: path(&HAPROXY.find()?), node: node(&[])? })
    }

    pub(super) fn fleet(&self, name: &str) -> Fleet {
        let Self { nginx, haproxy, node } = self;
        let published = [(); 2].map(|()| free_port());
        let [http, grpc] = published;
        let node = node.program.display();
        let spec = format!(
            "services:
  - name: web
    ports:
      - {{name: http, port: 80, protocol: http, publish: {http}}}
      - {{name: grpc, port: 81, protocol: grpc, publish: {grpc}}}
workloads:
  - {{name: caller, command: [sleep, infinity]}}
  - service: web
    version: sample
    command: [leno-sample, serve, web, --version=sample, --latency=20ms, '--listen=http://:80,http://:81']
  - {{service: web, version: nginx, command: 'cp nginx.conf /tmp/ && exec {nginx} -p /tmp -c /tmp/nginx.conf'}}
  - {{service: web, version: haproxy, command: [{haproxy}, -db, -f, haproxy.cfg]}}
  - {{service: web, version: node, replicas: {NODES}, command: [{node}, endpoint.js]}}
"
        );
        let mesh = Declaration::new(name)
            .user(User::Nobody)
            .spec(&spec)
            .file("nginx.conf", NGINX_CONF)
            .file("haproxy.cfg", HAPROXY_CONF)
            .file("endpoint.js", ENDPOINT)
            .config("web.yaml", ROUTE)
            .argument(&format!("--svid-lifetime={LIFETIME}"))
            .argument(&format!("--svid-renew-after={RENEWAL}"))
            .start();
        Fleet { mesh, published }
    }
}

/// What may be repeated is, twice, and no try waits for longer than this for the head of its answer.
const ROUTE: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
    - retries: {attempts: 2, perTryTimeout: 500ms, retryOn: '5xx,unavailable'}
      route: [{destination: {host: web}}]
";

/// It answers gRPC in the head alone ("trailers only").
const NGINX_CONF: &str = "\
daemon off;
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
    listen 81 http2;
    default_type application/grpc;
    add_header x-version nginx;
    add_header grpc-status 0;
    location / { return 200; }
  }
}
";

const HAPROXY_CONF: &str = "\
defaults
  mode http
  timeout client 60s
frontend web
  bind :80
  bind :81 proto h2
  http-request return status 200 hdr x-version haproxy hdr grpc-status 0
";

/// What it does with a request is said by the file `/tmp/mode`.
const ENDPOINT: &str = "\
const fs = require('fs'), http = require('http'), http2 = require('http2');
const mode = () => { try { return fs.readFileSync('/tmp/mode', 'utf8').trim(); } catch { return ''; } };
const version = { 'x-version': 'node' };
const pause = () => mode() === 'slow' ? 400 : 20;

http.createServer((request, response) => {
  request.resume();
  if (mode() === 'fail') return response.writeHead(503, version).end();
  if (mode() === 'reset') {
    response.writeHead(200, { ...version, 'content-length': 1000 }).write('a part');
    return setTimeout(() => request.socket.resetAndDestroy(), 2);
  }
  setTimeout(() => response.writeHead(200, { ...version, 'content-length': 3 }).end('all'), pause());
}).listen(80);

http2.createServer().on('stream', (stream, headers) => {
  const grpc = (headers['content-type'] || '').startsWith('application/grpc');
  const head = { ':status': 200, 'content-type': grpc ? 'application/grpc' : 'text/plain', ...version };
  stream.on('error', () => {}).resume();
  if (mode() === 'fail') {
    return stream.respond({ ...head, ...(grpc ? { 'grpc-status': 14 } : { ':status': 503 }) }, { endStream: true });
  }
  if (mode() === 'reset') {
    stream.respond(head);
    stream.write('a part');
    return setTimeout(() => stream.session?.destroy(), 2);
  }
  setTimeout(() => {
    if (stream.destroyed) return;
    stream.respond(head, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(grpc ? { 'grpc-status': 0 } : {}));
    stream.end(Buffer.alloc(5));
  }, pause());
}).listen(81);
";

/// Waits until every replica serves and none is still restarting.
pub(super) fn is_whole(mesh: &Mesh) {
    eventually("all endpoints are ready", || {
        let status = mesh.leno_json(&["status"]);
        let replicas = status["replicas"].as_array().unwrap();
        let is_ready = |replica: &serde_json::Value| {
            replica["phase"] == "ready" && replica["sidecarReady"].as_bool().unwrap_or(true)
        };
        if replicas.iter().all(is_ready) && status["ready"] == true {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}
