"""gRPC's own server and client: `serve` prints its port, `call ADDRESS` tries every kind of call."""
import concurrent.futures, queue, sys, grpc


def echo(messages, context):
    context.send_initial_metadata((('x-early', 'yes'),))
    count = 0
    for message in messages:
        count += 1
        yield message
    context.set_trailing_metadata((('x-count', str(count)),))


def refuse(_message, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, 'not so')


def wait(_message, context):
    done = queue.Queue()
    context.add_callback(lambda: done.put(None))
    done.get()


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return {
            '/p.S/Unary': grpc.unary_unary_rpc_method_handler(lambda message, _: message),
            '/p.S/Up': grpc.stream_unary_rpc_method_handler(lambda messages, _: b''.join(messages)),
            '/p.S/Down': grpc.unary_stream_rpc_method_handler(lambda m, _: (m[i:i + 1] for i in range(len(m)))),
            '/p.S/Both': grpc.stream_stream_rpc_method_handler(echo),
            '/p.S/Refuse': grpc.unary_unary_rpc_method_handler(refuse),
            '/p.S/Wait': grpc.unary_unary_rpc_method_handler(wait),
        }.get(details.method)


def serve():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), handlers=(Handler(),))
    print(server.add_insecure_port('127.0.0.1:0'), flush=True)
    server.start()
    sys.stdin.read()


def code(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError('a call that should fail')


def call(address):
    options = [('grpc.default_authority', 'app'), ('grpc.enable_http_proxy', 0)]
    with grpc.insecure_channel(address, options) as channel:
        big = bytes(1 << 20)
        assert channel.unary_unary('/p.S/Unary')(b'one', timeout=20) == b'one'
        assert channel.unary_unary('/p.S/Unary')(big, timeout=20) == big
        assert channel.stream_unary('/p.S/Up')(iter([b'a', b'b', b'c']), timeout=20) == b'abc'
        assert list(channel.unary_stream('/p.S/Down')(b'xyz', timeout=20)) == [b'x', b'y', b'z']
        sent = queue.Queue()
        both = channel.stream_stream('/p.S/Both')(iter(sent.get, None), timeout=20)
        for message in (b'ping', b'', big, b'end'):
            sent.put(message)
            assert next(both) == message, 'each message comes back before the next is sent'
        sent.put(None)
        assert list(both) == []
        assert dict(both.initial_metadata())['x-early'] == 'yes'
        assert dict(both.trailing_metadata())['x-count'] == '4'
        refused = code(lambda: channel.unary_unary('/p.S/Refuse')(b'', timeout=20))
        assert refused == (grpc.StatusCode.FAILED_PRECONDITION, 'not so'), refused
        assert code(lambda: channel.unary_unary('/p.S/None')(b'', timeout=20))[0] == grpc.StatusCode.UNIMPLEMENTED
        late = code(lambda: channel.unary_unary('/p.S/Wait')(b'', timeout=0.2))
        assert late[0] == grpc.StatusCode.DEADLINE_EXCEEDED, late
    print('every kind of call works', flush=True)


if sys.argv[1] == 'serve':
    serve()
else:
    call(sys.argv[2])
