// Pushes a file of newline-delimited JSON into one partition, each line exactly once, whoever dies in between.
//
//     node producer.mjs SOCKET TABLE PARTITION FILE [landed|stored]
//
// It prints what the sidecar answers.
import { open } from 'node:fs/promises'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

const [socketPath, table, name, file, ack = 'landed'] = process.argv.slice(2)
const agent = new http.Agent({ keepAlive: true })

// request makes a request; it fails if there is no answer, or not all of it.
const request = (method, path, body) => new Promise((resolve, reject) => {
  const headers = body ? { 'Content-Length': body.length } : {}
  http.request({ socketPath, agent, method, path, headers }, (response) => {
    const { statusCode: status, headers: { 'retry-after': retryAfter } } = response
    response.toArray().then((parts) => resolve({ status, retryAfter, text: Buffer.concat(parts).toString() }), reject)
  }).on('error', reject).end(body)
})

// call makes a request, and makes it again until it has an answer that trying again doesn't change.
async function call (method, path, body) {
  for (;;) {
    const { status, retryAfter, text } = await request(method, path, body).catch(() => ({ retryAfter: Math.random() }))
    if (text) process.stdout.write(text)
    if (status && !([429, 503].includes(status) && retryAfter)) return { status, answer: JSON.parse(text) }
    await sleep(1000 * retryAfter)
  }
}

const partition = `/v1/tables/${table}/partitions/${encodeURIComponent(name)}`
let { status, answer } = await call('GET', partition)
let position = answer.position ?? '' // the file's offset from which on rows are needed; '': from its beginning
const source = await open(file)
const buffer = Buffer.alloc(64 << 10)
while (status === 200 || status === 412) {
  const { bytesRead } = await source.read(buffer, 0, buffer.length, Number(position))
  const rows = buffer.subarray(0, buffer.lastIndexOf('\n', bytesRead - buffer.length - 1) + 1)
  if (rows.length === 0 && bytesRead === buffer.length) throw new Error(`a line has more than ${bytesRead} bytes`)
  if (rows.length === 0) process.exit()
  const query = new URLSearchParams({ expect: position, position: Number(position) + rows.length, ack })
  ;({ status, answer } = await call('POST', `${partition}/rows?${query}`, rows))
  // 412: it is elsewhere, and so goes on there.
  position = (status === 412 ? answer.current_position : answer.position) ?? ''
}
console.error(`${status}: ${answer.message}`) // somebody has to mend this
process.exit(1)
