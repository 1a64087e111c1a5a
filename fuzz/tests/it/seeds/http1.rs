//! HTTP/1 in and out of order.

use super::{Seeds, named};

pub(super) fn requests() -> Seeds {
    named(
        &[
            ("get", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (
                "query",
                "GET /a/b?c=d&e=%2f HTTP/1.1\r\nhost: a.example:8080\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
            ),
            (
                "length",
                "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
            ),
            (
                "chunked",
                "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            ),
            (
                "upgrade",
                "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
            ),
            ("connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
            ("absolute", "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("asterisk", "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
            ("http10", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            (
                "nominated",
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-hop ,TE,close\r\nX-Hop: 1\r\nTE: trailers\r\nX: \t1 \r\n\r\n",
            ),
            ("expect", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"),
            ("after-empty-line", "\r\nGET / HTTP/1.1\r\nHost: a\r\nX: \u{e4}\r\n\r\n"),
        ],
        &[
            ("bare-lf", "GET / HTTP/1.1\nHost: a\n\n"),
            ("bare-cr", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
            ("nul", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
            ("fold", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
            ("two-lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"),
            (
                "length-and-coding",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            ("coding-list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
            ("two-hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            ("other-host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("blank-before-colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
            ("http2-preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("incomplete", "GET / HTTP/1.1\r\nHost: a\r\nX: "),
        ],
    )
}

pub(super) fn responses() -> Seeds {
    named(
        &[
            ("length", "\0HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"),
            (
                "chunked",
                "\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n",
            ),
            ("until-close", "\0HTTP/1.0 200 Fine Enough\r\nX: y\r\n\r\nhello"),
            ("without-reason", "\0HTTP/1.1 204\r\n\r\n"),
            (
                "interim",
                "\0HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            ),
            ("head", "\u{1}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            ("connect", "\u{2}HTTP/1.1 200 OK\r\n\r\ntunnel"),
            ("connect-refused", "\u{2}HTTP/1.1 407 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
            (
                "upgrade",
                "\u{3}HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes",
            ),
            ("upgrade-ignored", "\u{3}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        &[
            ("bare-lf", "\0HTTP/1.1 200 OK\nA: b\n\n"),
            ("unasked-switch", "\0HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
            (
                "length-and-coding",
                "\0HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            ("http2", "\0HTTP/2 200 OK\r\n\r\n"),
            ("after-empty-line", "\0\r\nHTTP/1.1 200 OK\r\n\r\n"),
            ("incomplete", "\0HTTP/1.1 200 OK\r\nA: "),
        ],
    )
}

pub(super) fn bodies() -> Seeds {
    named(
        &[
            ("chunked", "\x005\r\nhello\r\n0\r\n\r\nGET"),
            ("extensions", "\x001;a=b; c=\"d\"\r\nx\r\n00A\r\n0123456789\r\n0;last\r\n\r\n"),
            ("trailers", "\x001\r\nx\r\n0\r\nGrpc-Status: 0\r\nX:  y \r\n\r\n"),
            ("length", "\u{5}hello and more"),
            ("empty", "\x000\r\n\r\n"),
        ],
        &[
            ("bare-lf", "\x005\nhello\n0\n\n"),
            ("sign", "\0+5\r\nhello\r\n0\r\n\r\n"),
            ("prefix", "\x000x5\r\nhello\r\n0\r\n\r\n"),
            ("short", "\x005\r\nhell\r\n0\r\n\r\n"),
            ("long", "\x005\r\nhello!\r\n0\r\n\r\n"),
            ("huge", "\0ffffffffffffffff1\r\nx\r\n0\r\n\r\n"),
            ("largest", "\0fffffffffffffff\r\nx"),
            ("forbidden-trailer", "\x000\r\nContent-Length: 1\r\n\r\n"),
            ("incomplete", "\u{9}hello"),
        ],
    )
}

pub(super) fn connections() -> Seeds {
    named(
        &[
            (
                "pipelined",
                "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                 POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n\
                 GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            ),
            (
                "long-chunk",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
            ),
            ("upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\0\u{1}"),
            ("then-refused", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\n\n"),
            (
                "cut-off",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            ),
            (
                "http10",
                "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.0\r\nHost: a\r\n\r\n",
            ),
        ],
        &[
            (
                "smuggled-by-length",
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            (
                "smuggled-by-chunk",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
            ),
            ("nothing", ""),
        ],
    )
}

/// Requests that claim things about themselves; see the target for the bytes before them.
pub(super) fn claims() -> Seeds {
    named(
        &[
            (
                "nothing-trusted",
                "\0\u{5}GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n\
                 Forwarded: for=10.0.0.1\r\nX_Forwarded_For: 10.0.0.2\r\nX-Envoy-Internal: true\r\n\
                 X-Forwarded-Client-Cert: URI=spiffe://td/x\r\nX_Forwarded-Client_Cert: URI=y\r\n\r\n",
            ),
            (
                "two-hops",
                "\u{2}\u{7}GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4, 10.0.0.1\r\nX-Forwarded-For: ::1\r\n\
                 X-Forwarded-Proto: https\r\nx-istio-a: b\r\nX-Leno-a: b\r\nX-Forwarded-Host: h\r\n\r\n",
            ),
            ("forwarded", "\u{1}\u{3}GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-client-cert: a=b,c=d\r\n\r\n"),
            ("plain", "\u{3}\0GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: unknown\r\n\r\n"),
        ],
        &[("no-request", "\0\0GET / HTTP/1.1\n\n")],
    )
}

/// Targets with a host behind a space; the first byte is the mode.
pub(super) fn targets() -> Seeds {
    named(
        &[
            ("plain", "\u{2}/a/b?c=d a.example:80"),
            ("dots", "\u{1}/a/./b/../c//d/.. A.Example."),
            ("encoded-dots", "\u{2}/%2e%2E/a/%2e/b"),
            ("slashes", "\u{2}//a///b/..//c [::1]:080"),
            ("backslashes", "\u{2}/a\\..\\b%5cc"),
            ("encoded-slashes", "\u{3}/a%2fb%5C..%2F%2e%2e/c"),
            ("characters", "\u{1}/\"<a>`%7e%41%C3%bc;x=y"),
            ("not-at-all", "\0/a/..//%2e%00"),
        ],
        &[
            ("percent", "\u{1}/%2"),
            ("nul", "\u{2}/a%00b"),
            ("dot-parameter", "\u{2}/a/..;x/b"),
            ("encoded-dot-parameter", "\u{2}/a/%2e%2e;/b"),
            ("host", "\u{2}/ a..:0"),
            ("asterisk", "\u{2}*"),
        ],
    )
}
