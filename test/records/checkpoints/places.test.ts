// Checkpoints on their way: real receivers over sockets, places that are away, a disk that is full, a key that cannot be read.

import { createSocket } from 'node:dgram'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { CheckpointKeyFault, readCheckpoint } from '../../../src/records/checkpoints/checkpoint.ts'
import { Checkpoints, type CheckpointSettings } from '../../../src/records/checkpoints/checkpoints.ts'
import { Outbox } from '../../../src/records/checkpoints/outbox.ts'
import { openPlace } from '../../../src/records/checkpoints/places.ts'
import { freshFolder, linesOf } from '../folder.ts'

const pem = String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))
const onLinux = test.skipIf(process.platform !== 'linux')
const quick = { first: 10, most: 20 }

/** A receiver of counted syslog messages. */
async function syslogServer(listen: (server: Server) => void): Promise<{ server: Server; messages: string[] }> {
  const messages: string[] = []
  const server = createServer((socket) => {
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => (text += chunk))
    socket.on('end', () => {
      const [, length = '', rest = ''] = /^(\d+) (.*)$/s.exec(text) ?? []
      if (Number(length) === Buffer.byteLength(rest)) messages.push(rest)
      socket.end()
    })
    socket.on('error', () => {})
  })
  listen(server)
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { server, messages }
}

const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port
const header = /^<109>1 \d{4}-\d\d-\d\dT[0-9:.]+Z \S+ devin-gateway \d+ checkpoint - \{"n":1\}$/
const signal = (): AbortSignal => AbortSignal.timeout(5_000)

describe('syslog', () => {
  test('by UDP is one message of RFC 5424', async () => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1')
    await once(socket, 'listening')
    onTestFinished(() => void socket.close())
    const received = once(socket, 'message')
    const place = openPlace({ kind: 'syslog', protocol: 'udp', host: '127.0.0.1', port: socket.address().port })
    await place.send('{"n":1}', signal())
    expect(String((await received)[0])).toMatch(header)
  })

  test('by UDP that is longer than a datagram is an error', async () => {
    const place = openPlace({ kind: 'syslog', protocol: 'udp', host: '127.0.0.1', port: 9 })
    await expect(place.send('x'.repeat(70_000), signal())).rejects.toThrow('EMSGSIZE')
  })

  test('by TCP counts its octets', async () => {
    const { server, messages } = await syslogServer((each) => each.listen(0, '127.0.0.1'))
    const place = openPlace({ kind: 'syslog', protocol: 'tcp', host: '127.0.0.1', port: portOf(server) })
    await place.send('{"n":1}', signal())
    expect(messages).toEqual([expect.stringMatching(header)])
    expect(place.name).toBe(`syslog at tcp://127.0.0.1:${portOf(server)}`)
  })

  onLinux('goes to a stream socket of this machine', async () => {
    const path = freshFolder()('syslog.sock')
    const { messages } = await syslogServer((each) => each.listen(path))
    await openPlace({ kind: 'syslog', protocol: 'unix', path }).send('{"n":1}', signal())
    expect(messages).toEqual([expect.stringMatching(header)])
  })

  test('that nobody takes, or that does not answer, is an error in words', async () => {
    const { server } = await syslogServer((each) => each.listen(0, '127.0.0.1'))
    const port = portOf(server)
    server.close()
    await once(server, 'close')
    const place = openPlace({ kind: 'syslog', protocol: 'tcp', host: '127.0.0.1', port })
    await expect(place.send('{}', signal())).rejects.toThrow('ECONNREFUSED')
    const silent = createServer({ allowHalfOpen: true }, (socket) => void socket.resume()).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    onTestFinished(() => void silent.close())
    const hangs = openPlace({ kind: 'syslog', protocol: 'tcp', host: '127.0.0.1', port: portOf(silent) })
    await expect(hangs.send('{}', AbortSignal.timeout(50))).rejects.toThrow('it did not answer in time')
  })
})

test('HTTP takes each one as JSON, and everything but 2xx is a failure', async () => {
  const bodies: string[] = []
  let status = 204
  const server = createHttpServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      bodies.push(`${request.method} ${request.headers['content-type']} ${body}`)
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const place = openPlace({ kind: 'http', url: `http://127.0.0.1:${portOf(server)}/take?token=secret` })
  await place.send('{"n":1}', signal())
  expect(bodies).toEqual(['POST application/json {"n":1}'])
  expect(place.name).not.toContain('secret')
  for (status of [302, 400, 503]) await expect(place.send('{"n":2}', signal())).rejects.toThrow(`it answered ${status}`)
  // A redirect is not followed.
  expect(bodies).toHaveLength(4)
})

describe('a file', () => {
  test('takes line after line, also after half a line', async () => {
    const path = freshFolder()('checkpoints')
    const place = openPlace({ kind: 'file', file: path })
    await place.send('{"n":1}', signal())
    writeFileSync(path, '{"n":', { flag: 'a' })
    await place.send('{"n":2}', signal())
    expect(linesOf(path)).toEqual(['{"n":1}', '{"n":', '{"n":2}'])
  })

  onLinux('on a full disk is told, and gets everything that waited when there is room', async () => {
    const path = freshFolder()('checkpoints')
    symlinkSync('/dev/full', path)
    const troubles: string[] = []
    const place = openPlace({ kind: 'file', file: path })
    const outbox = new Outbox({ place, nowMs: () => 5, onTrouble: (text) => troubles.push(text), retryMs: quick })
    onTestFinished(() => outbox.close())
    expect(await outbox.add('{"n":1}', 1)).toBe(false)
    expect(await outbox.add('{"n":2}', 2)).toBe(false)
    expect(outbox.status()).toMatchObject({
      waiting: 2,
      delivered: 0,
      error: 'ENOSPC: the disk is full',
      lastAtMs: null,
    })
    rmSync(path)
    await vi.waitFor(
      () =>
        expect(outbox.status()).toMatchObject({ waiting: 0, delivered: 2, error: null, lastSequence: 2, lastAtMs: 5 }),
      10_000,
    )
    expect(linesOf(path)).toEqual(['{"n":1}', '{"n":2}'])
    expect(troubles).toEqual([
      `audit checkpoints do not reach ${path} (ENOSPC: the disk is full); they wait and are sent later`,
      `audit checkpoints reach ${path} again`,
    ])
  })
})

test('of those that wait for a place the oldest are given up, and the others come in order', async () => {
  const taken: string[] = []
  let isAway = true
  const place = {
    name: 'there',
    send: (line: string) => (isAway ? Promise.reject(new Error('away')) : Promise.resolve(void taken.push(line))),
  }
  const outbox = new Outbox({ place, nowMs: () => 0, onTrouble: () => {}, maxWaiting: 3, retryMs: quick })
  onTestFinished(() => outbox.close())
  for (let sequence = 1; sequence <= 6; sequence += 1) await outbox.add(`line ${sequence}`, sequence)
  expect(outbox.status()).toMatchObject({ waiting: 3, dropped: 3 })
  isAway = false
  await vi.waitFor(() => expect(taken).toEqual(['line 4', 'line 5', 'line 6']), 10_000)
})

describe('checkpoints', () => {
  async function opened(more: Partial<CheckpointSettings>, seq = 7) {
    const path = freshFolder()('checkpoints')
    const head = { seq, hash: 'ab'.repeat(32) }
    const troubles: string[] = []
    const checkpoints = await Checkpoints.open({
      settings: {
        origin: 'test/log',
        everyMs: 60_000,
        targets: [{ kind: 'file', file: path }],
        readKey: () => Promise.resolve(pem),
        pace: { retryMs: quick },
        ...more,
      },
      head: () => head,
      nowMs: () => Date.UTC(2026, 10, 29),
      onTrouble: (text) => troubles.push(text),
    })
    onTestFinished(() => checkpoints.close(false))
    return { checkpoints, path, head, troubles }
  }

  test('are signed at intervals, on demand and at the end, and go by number when the clock jumps back', async () => {
    const { checkpoints, path, head } = await opened({ everyMs: 10 })
    await vi.waitFor(() => expect(linesOf(path).length).toBeGreaterThan(1), 10_000)
    head.seq = 8
    expect(await checkpoints.now()).toMatchObject({
      checkpoint: { sequence: 8 },
      places: [{ place: path, delivered: true, error: null }],
    })
    head.seq = 9
    await checkpoints.close()
    const sequences = linesOf(path).map((line) => readCheckpoint(line)?.sequence)
    expect(sequences.at(-1)).toBe(9)
    expect(sequences).toEqual(sequences.toSorted((a = 0, b = 0) => a - b))
  })

  test('of an empty log are none', async () => {
    const { checkpoints } = await opened({}, 0)
    expect(await checkpoints.now()).toEqual({ error: 'the audit log holds no entry yet' })
  })

  test('are not begun with a key that cannot sign; a source that is away is asked again', async () => {
    await expect(opened({ readKey: () => Promise.resolve('no key') })).rejects.toThrow(CheckpointKeyFault)
    let isAway = true
    const { checkpoints, troubles } = await opened({
      readKey: () => (isAway ? Promise.reject(new Error('the vault is sealed')) : Promise.resolve(pem)),
    })
    expect(await checkpoints.now()).toMatchObject({ error: expect.stringContaining('the vault is sealed') })
    expect(checkpoints.status()).toMatchObject({
      keyId: null,
      keyError: expect.stringContaining('the vault is sealed'),
    })
    expect(troubles).toHaveLength(1)
    isAway = false
    expect(await checkpoints.now()).toMatchObject({ checkpoint: { sequence: 7 } })
    expect(checkpoints.status().keyError).toBeNull()
  })

  test('go on with the key before when the next one cannot sign, and with another one when it can', async () => {
    let text = pem
    const { checkpoints } = await opened({ readKey: () => Promise.resolve(text) })
    const before = checkpoints.status().keyId
    text = 'broken'
    checkpoints.renewKey()
    await vi.waitFor(() => expect(checkpoints.status().keyError).not.toBeNull(), 10_000)
    expect(await checkpoints.now()).toMatchObject({ checkpoint: { key_id: before } })
    text = String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))
    checkpoints.renewKey()
    await vi.waitFor(() => expect(checkpoints.status().keyId).not.toBe(before), 10_000)
  })

  test('hold nobody up while a place hangs, and say that they wait', async () => {
    const { checkpoints } = await opened({
      targets: [{ kind: 'http', url: 'http://127.0.0.1:1/nobody' }],
      pace: { retryMs: { first: 60_000, most: 60_000 } },
    })
    expect(await checkpoints.now()).toMatchObject({ places: [{ delivered: false, error: expect.any(String) }] })
    expect(await checkpoints.now()).toMatchObject({ places: [{ delivered: false }] })
    expect(checkpoints.status().places).toMatchObject([{ waiting: 2, delivered: 0 }])
  })
})

test('nothing that is written holds the private key', async () => {
  const folder = freshFolder()
  const troubles: string[] = []
  const checkpoints = await Checkpoints.open({
    settings: {
      origin: 'test/log',
      everyMs: 60_000,
      targets: [{ kind: 'file', file: folder('out') }],
      readKey: () => Promise.resolve(pem),
    },
    head: () => ({ seq: 1, hash: '00'.repeat(32) }),
    nowMs: Date.now,
    onTrouble: (text) => troubles.push(text),
  })
  const outcome = await checkpoints.now()
  await checkpoints.close()
  const secret = pem.split('\n')[1] ?? ''
  expect(readFileSync(folder('out'), 'utf8') + JSON.stringify([outcome, checkpoints.status(), troubles])).not.toContain(
    secret,
  )
})
