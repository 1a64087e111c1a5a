// An application of Node's own HTTP servers, over HTTP/1 and over HTTP/2. Ends with its standard input.
const http = require('http'), http2 = require('http2'), crypto = require('crypto')
const ip = process.argv[2]
const hint = '</a.css>; rel=preload'
const waiting = []
const tell = () => waiting.splice(0).forEach(end => end())
const accept = key =>
  crypto.createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')

function answer(request, response) {
  switch (request.url) {
    case '/hints':
      response.writeEarlyHints({ link: hint })
      return response.end('hinted')
    case '/early':
      response.writeHead(413)
      return response.end('too much')
    case '/events':
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: one\n\n')
      return waiting.push(() => response.end('data: two\n\n'))
    case '/poll':
      return waiting.push(() => response.end('news'))
    case '/more':
      tell()
      return response.end('told')
    case '/broken':
      response.writeHead(200, { 'content-length': 100 })
      response.write('half')
      return waiting.push(() => response.destroy())
  }
  const seen = `${request.method} ${request.headers.host} ${request.url} ${request.httpVersion}`
  response.writeHead(200, { trailer: 'x-sum, x-got', 'x-seen': seen })
  response.flushHeaders()
  let sum = 0
  request.on('data', data => { sum += data.length; response.write(data) })
  request.on('end', () => {
    response.addTrailers({ 'x-sum': String(sum), 'x-got': request.trailers['x-sent'] || 'none' })
    response.end()
  })
}

const one = http.createServer(answer)
one.on('checkContinue', (request, response) => {
  if (request.url === '/refused') return response.writeHead(417).end()
  response.writeContinue()
  answer(request, response)
})
const join = (head, socket, first) => {
  socket.on('error', () => {})
  socket.write(`HTTP/1.1 ${head}\r\n\r\n`)
  if (first.length) socket.write(first)
  socket.pipe(socket)
}
one.on('upgrade', (request, socket, first) => {
  const key = accept(request.headers['sec-websocket-key'])
  join(`101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${key}`, socket, first)
})
one.on('connect', (request, socket, first) => join(`200 OK\r\nx-authority: ${request.url}`, socket, first))

const two = http2.createServer({ settings: { enableConnectProtocol: true } })
two.on('stream', (stream, head) => {
  stream.on('error', () => {})
  const path = head[':path']
  if (head[':method'] === 'CONNECT') {
    stream.respond(path ? { ':status': 200 } : { ':status': 200, 'x-authority': head[':authority'] })
    return stream.pipe(stream)
  }
  if (head.expect) {
    if (path === '/refused') return stream.respond({ ':status': 417 }, { endStream: true })
    stream.additionalHeaders({ ':status': 100 })
  }
  switch (path) {
    case '/hints':
      stream.additionalHeaders({ ':status': 103, link: hint })
      stream.respond({ ':status': 200 })
      return stream.end('hinted')
    case '/early':
      stream.respond({ ':status': 413 })
      return stream.end('too much', () => stream.close(http2.constants.NGHTTP2_NO_ERROR))
    case '/events':
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream' })
      stream.write('data: one\n\n')
      return waiting.push(() => stream.end('data: two\n\n'))
    case '/poll':
      return waiting.push(() => { stream.respond({ ':status': 200 }); stream.end('news') })
    case '/more':
      tell()
      stream.respond({ ':status': 200 })
      return stream.end('told')
    case '/broken':
      stream.respond({ ':status': 200, 'content-length': 100 })
      stream.write('half')
      return waiting.push(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
  }
  const seen = `${head[':method']} ${head[':authority']} ${path} 2.0`
  stream.respond({ ':status': 200, trailer: 'x-sum, x-got', 'x-seen': seen }, { waitForTrailers: true })
  let sum = 0, got = 'none'
  stream.on('trailers', trailers => { got = trailers['x-sent'] || 'none' })
  stream.on('data', data => { sum += data.length; stream.write(data) })
  stream.on('end', () => stream.end())
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': String(sum), 'x-got': got }))
})

one.listen(0, ip, () => two.listen(0, ip, () => console.log(`${one.address().port} ${two.address().port}`)))
process.stdin.on('end', () => process.exit()).resume()
