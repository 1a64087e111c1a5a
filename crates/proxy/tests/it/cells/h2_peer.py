"""hyper-h2, which holds peers to the letter of HTTP/2: `serve` prints its port, `call ADDRESS` does what others hardly do."""
import asyncio, socket, sys
import h2.config, h2.connection, h2.errors, h2.events, h2.exceptions, h2.settings
from h2.settings import SettingCodes


class Sending:
    """What is to go out on streams, as far as windows let it."""

    def __init__(self, conn):
        self.conn, self.streams = conn, {}

    def say(self, stream, data=b'', end=None):
        """`end` are trailers, or none of them."""
        left = self.streams.setdefault(stream, [bytearray(), None])
        left[0] += data
        left[1] = left[1] if end is None else end
        self.go_on(stream)

    def go_on(self, stream=0):
        for each in [stream] if stream else list(self.streams):
            data, end = self.streams.get(each, (b'', None))
            while data and (room := self.conn.local_flow_control_window(each)) > 0:
                size = min(room, self.conn.max_outbound_frame_size - 20, len(data))
                # Padding counts.
                pad = 7 if room > size + 8 else None
                self.conn.send_data(each, bytes(data[:size]), pad_length=pad)
                del data[:size]
            if not data and each in self.streams and end is not None:
                del self.streams[each]
                if end:
                    self.conn.send_headers(each, end, end_stream=True)
                else:
                    self.conn.end_stream(each)

    def forget(self, stream):
        self.streams.pop(stream, None)


class Server(asyncio.Protocol):
    waiting = []

    def connection_made(self, transport):
        self.transport, self.asked = transport, {}
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding='utf-8'))
        self.conn.local_settings = h2.settings.Settings(client=False, initial_values={
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1, SettingCodes.INITIAL_WINDOW_SIZE: 5000,
            SettingCodes.HEADER_TABLE_SIZE: 100, SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        self.sending = Sending(self.conn)
        self.conn.initiate_connection()
        self.flush()

    def flush(self):
        self.transport.write(self.conn.data_to_send())

    def data_received(self, data):
        for event in self.conn.receive_data(data):
            try:
                self.handle(event)
            except h2.exceptions.StreamClosedError:
                # It was taken back by what came with this.
                self.sending.forget(event.stream_id)
        self.flush()

    def handle(self, event):
        stream = getattr(event, 'stream_id', 0)
        match event:
            case h2.events.RequestReceived():
                self.begin(stream, dict(event.headers))
            case h2.events.DataReceived():
                self.conn.acknowledge_received_data(event.flow_controlled_length, stream)
                if stream in self.asked:
                    self.asked[stream][0] += len(event.data)
                    self.sending.say(stream, event.data)
            case h2.events.TrailersReceived():
                if stream in self.asked:
                    self.asked[stream][1] = dict(event.headers).get('x-sent', 'none')
            case h2.events.StreamEnded():
                if stream in self.asked:
                    size, sent, is_tunnel = self.asked.pop(stream)
                    trailers = [] if is_tunnel else [('x-sum', str(size)), ('x-got', sent)]
                    self.sending.say(stream, end=trailers)
            case h2.events.StreamReset():
                self.asked.pop(stream, None)
                self.sending.forget(stream)
            case h2.events.WindowUpdated():
                self.sending.go_on(stream)
            case h2.events.RemoteSettingsChanged():
                self.sending.go_on()

    def begin(self, stream, head):
        answer = lambda status, *fields, **end: self.conn.send_headers(stream, [(':status', status), *fields], **end)
        method, path = head[':method'], head.get(':path', '')
        if method == 'CONNECT':
            self.asked[stream] = [0, 'none', True]
            return answer('200', ('x-authority', head[':authority']))
        if path == '/refused':
            return answer('417', end_stream=True)
        if head.get('expect') == '100-continue':
            answer('100')
        if path == '/hints':
            answer('103', ('link', '</a.css>; rel=preload'))
            answer('200')
            return self.sending.say(stream, b'hinted', [])
        if path == '/early':
            answer('413')
            self.sending.say(stream, b'too much', [])
            return self.conn.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)
        if path == '/events':
            answer('200', ('content-type', 'text/event-stream'))
            self.sending.say(stream, b'data: one\n\n')
            return self.waiting.append(lambda: self.later(lambda: self.sending.say(stream, b'data: two\n\n', [])))
        if path == '/broken':
            answer('200', ('content-length', '100'))
            self.sending.say(stream, b'half')
            return self.waiting.append(lambda: self.later(lambda: self.conn.reset_stream(stream, 2)))
        if path == '/more':
            while self.waiting:
                self.waiting.pop()()
        self.asked[stream] = [0, 'none', False]
        answer('200', ('x-seen', f"{method} {head[':authority']} {path} 2.0"), ('trailer', 'x-sum, x-got'))

    def later(self, do):
        do()
        self.flush()


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


class Client:
    def __init__(self, address):
        host, port = address.rsplit(':', 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding='utf-8'))
        self.sending, self.seen, self.next = Sending(self.conn), [], 1
        self.conn.initiate_connection()
        self.until(lambda event: isinstance(event, h2.events.RemoteSettingsChanged))
        # Heads and bodies go out in crumbs.
        self.conn.max_outbound_frame_size = 60

    def flush(self):
        self.socket.sendall(self.conn.data_to_send())

    def until(self, is_it):
        """Every event of a stream up to the first that is it."""
        self.flush()
        while not (found := [at for at, event in enumerate(self.seen) if is_it(event)]):
            data = self.socket.recv(65536)
            assert data, 'the connection goes on'
            for event in self.conn.receive_data(data):
                stream = getattr(event, 'stream_id', 0)
                self.seen.append(event)
                if isinstance(event, h2.events.DataReceived):
                    self.conn.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
                    self.sending.go_on(stream or 0)
            self.flush()
        of = lambda event: getattr(event, 'stream_id', 0)
        come, rest = self.seen[:found[0] + 1], self.seen[found[0] + 1:]
        self.seen = [event for event in come if of(event) != of(come[-1])] + rest
        return [event for event in come if of(event) == of(come[-1])]

    def ask(self, method, path, more=(), end=False):
        stream, self.next = self.next, self.next + 2
        head = [(':method', method), (':scheme', 'http'), (':authority', 'app'), (':path', path), *more]
        self.conn.send_headers(stream, head, end_stream=end)
        return stream

    def of(self, stream, kind):
        """The next such event of the stream."""
        return self.until(lambda event: isinstance(event, kind) and event.stream_id == stream)[-1]

    def whole(self, stream):
        """The final head, the body and the trailers."""
        events = self.until(lambda event: getattr(event, 'stream_id', 0) == stream and isinstance(
            event, (h2.events.StreamEnded, h2.events.StreamReset)))
        assert isinstance(events[-1], h2.events.StreamEnded), events[-1]
        every = lambda kind: [event for event in events if isinstance(event, kind)]
        head = dict(every(h2.events.ResponseReceived)[0].headers)
        body = b''.join(event.data for event in every(h2.events.DataReceived))
        return head, body, [dict(event.headers) for event in every(h2.events.TrailersReceived)]


def call(address):
    client = Client(address)
    fields = [(f'x-{number}', 'value' * 5) for number in range(30)]
    head, body, _ = client.whole(client.ask('GET', '/many', fields, end=True))
    assert head['x-seen'].startswith('GET app /many') and body == b'', head

    stream = client.ask('POST', '/echo', [('te', 'trailers'), ('trailer', 'x-sent')])
    big = bytes(range(256)) * 400
    client.sending.say(stream, big, [('x-sent', 'checksum')])
    client.conn.ping(b'whatever')
    head, body, trailers = client.whole(stream)
    assert body == big and trailers == [{'x-sum': str(len(big)), 'x-got': 'checksum'}], (len(body), trailers)

    # The window is next to nothing, and grows while answers wait for it.
    client.conn.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1, SettingCodes.HEADER_TABLE_SIZE: 0})
    client.until(lambda event: isinstance(event, h2.events.SettingsAcknowledged))
    stream = client.ask('POST', '/slow')
    client.sending.say(stream, big, [])
    assert client.of(stream, h2.events.DataReceived).data == big[:1], 'a window of one byte'
    client.conn.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 60000, SettingCodes.HEADER_TABLE_SIZE: 4096})
    client.of(stream, h2.events.StreamEnded)

    stream = client.ask('GET', '/hints', end=True)
    assert dict(client.of(stream, h2.events.InformationalResponseReceived).headers)[':status'] == '103'
    assert client.whole(stream)[1] == b'hinted'

    stream = client.ask('POST', '/early')
    client.sending.say(stream, b'the first of many')
    head, body, _ = client.whole(stream)
    assert (head[':status'], body) == ('413', b'too much'), head
    client.sending.forget(stream)

    # One is taken back among others.
    streams = [client.ask('POST', f'/{number}') for number in range(5)]
    for stream in streams:
        client.sending.say(stream, b'body')
    client.sending.forget(streams[2])
    client.conn.reset_stream(streams.pop(2), h2.errors.ErrorCodes.CANCEL)
    for stream in reversed(streams):
        client.sending.say(stream, end=[])
        assert client.whole(stream)[1] == b'body'

    assert client.conn.remote_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
    stream = client.ask('CONNECT', '/chat', [(':protocol', 'websocket'), ('sec-websocket-version', '13')])
    assert dict(client.of(stream, h2.events.ResponseReceived).headers)[':status'] == '200'
    client.sending.say(stream, b'ping')
    assert client.of(stream, h2.events.DataReceived).data == b'ping'
    client.sending.say(stream, end=[])
    client.of(stream, h2.events.StreamEnded)

    client.conn.close_connection()
    client.flush()
    client.socket.shutdown(socket.SHUT_WR)
    while client.socket.recv(65536):
        pass
    print('hyper-h2 is understood', flush=True)


if sys.argv[1] == 'serve':
    asyncio.run(serve())
else:
    call(sys.argv[2])
