// Bodies of 200 MiB through a process of its own whose memory is watched: they stream, in both directions.

import { readFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGatewayProcess, type StartedGateway } from '../support/command.ts'
import { startIssuer, type Issuer } from '../support/issuer.ts'
import { createSite, type Site } from '../support/site.ts'
import { until, usualKeys } from '../support/start-gateway.ts'
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts'

const mebibyte = 1024 * 1024
const size = 200 * mebibyte
const block = Buffer.alloc(mebibyte, 'the quick brown fox jumps over the lazy dog; ')
const upload = '/v3/organizations/org-payments/attachments'
const download = '/v3/organizations/org-payments/sessions'

let upstream: RecordingUpstream
let issuer: Issuer
let site: Site
let gateway: StartedGateway
let token: string
beforeAll(async () => {
  upstream = await startUpstream()
  issuer = await startIssuer()
  site = await createSite({ upstream: upstream.origin, issuer })
  gateway = await startGatewayProcess(site.configFile, { env: usualKeys })
  token = await issuer.sign({ groups: ['sso-payments-eng'] })
})
afterAll(async () => {
  await gateway.kill()
  await upstream.close()
  await issuer.stop()
  await site.remove()
})

async function residentBytes(): Promise<number> {
  const status = await readFile(`/proc/${gateway.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

/** The most memory that the process had above what it had before, while something was done. */
async function memoryFor(act: () => Promise<void>): Promise<number> {
  const before = await residentBytes()
  let most = before
  const watch = { going: true }
  const watching = (async () => {
    while (watch.going) {
      most = Math.max(most, await residentBytes())
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  await act().finally(() => (watch.going = false))
  await watching
  return most - before
}

/** Sends `bytes` and resolves with status and body; a length is announced or left to chunks. */
function send(bytes: number, announce: boolean): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { port: gateway.port, host: '127.0.0.1', method: 'POST', path: upload, agent: false },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      },
    )
    outgoing.on('error', reject)
    outgoing.setHeader('authorization', `Bearer ${token}`)
    outgoing.setHeader('content-type', 'application/octet-stream')
    if (announce) outgoing.setHeader('content-length', bytes)
    let left = bytes
    const push = (): void => {
      while (left > 0) {
        left -= block.length
        if (!outgoing.write(block)) {
          outgoing.once('drain', push)
          return
        }
      }
      outgoing.end()
    }
    push()
  })
}

/** Counts what it gets; waits for a while before it reads at all. */
function receiveAll(pauseMs: number): { readonly received: () => number; readonly begun: () => boolean } {
  let received = 0
  let begun = false
  upstream.takeOver((incoming, response) => {
    begun = true
    setTimeout(() => {
      incoming.on('data', (chunk: Buffer) => (received += chunk.length))
      incoming.on('end', () => response.writeHead(201, { 'content-type': 'application/json' }).end('{"ok":true}'))
    }, pauseMs)
  })
  return { received: () => received, begun: () => begun }
}

describe('an upload of 200 MiB', () => {
  test.each([
    ['with its length announced', true, 0],
    ['in chunks', false, 0],
    ['to an upstream that is slow to read', true, 400],
  ])('%s passes within 100 MiB of extra memory', async (_name, announce, pauseMs) => {
    const { received } = receiveAll(pauseMs)
    const extra = await memoryFor(async () => {
      expect(await send(size, announce)).toEqual({ status: 201, text: '{"ok":true}' })
    })
    expect(received()).toBe(size)
    expect(extra / mebibyte).toBeLessThan(100)
  })

  test.each([
    ['announced', true],
    ['found out', false],
  ])('beyond the limit is refused, %s', async (_name, announce) => {
    receiveAll(0)
    const answer = await send(257 * mebibyte, announce).catch(() => null)
    // A caller that does not read while it writes may see the connection end instead.
    if (answer !== null) expect(answer.status).toBe(413)
    await until(
      async () => (await readFile(`${site.directory}/access.ndjson`, 'utf8')).includes('body-too-large'),
      'the record',
    )
  })
})

describe('a download of 200 MiB', () => {
  function give(): void {
    upstream.takeOver((incoming, response) => {
      incoming.resume()
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size })
      let left = size
      const push = (): void => {
        while (left > 0) {
          left -= block.length
          if (!response.write(block)) {
            response.once('drain', push)
            return
          }
        }
        response.end()
      }
      push()
    })
  }

  test.each([
    ['to a caller that reads', 0],
    ['to a caller that is slow to read', 400],
  ])('%s passes within 100 MiB of extra memory', async (_name, pauseMs) => {
    give()
    let received = 0
    const extra = await memoryFor(
      () =>
        new Promise<void>((resolve, reject) => {
          httpRequest(
            {
              port: gateway.port,
              host: '127.0.0.1',
              path: download,
              agent: false,
              headers: { authorization: `Bearer ${token}` },
            },
            (response) => {
              setTimeout(() => {
                response.on('data', (chunk: Buffer) => (received += chunk.length))
                response.on('end', resolve)
                response.on('error', reject)
              }, pauseMs)
            },
          )
            .on('error', reject)
            .end()
        }),
    )
    expect(received).toBe(size)
    expect(extra / mebibyte).toBeLessThan(100)
  })
})
