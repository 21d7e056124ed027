// The requests that the sandbox prints reach it with curl as they are, also where the configuration names a certificate.

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { trustOf } from '../../src/cli/sandbox/curl.ts'
import { createAuthority } from '../support/certificates.ts'

const folder = mkdtempSync(join(tmpdir(), "gateway curl's "))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** As much of a sandbox as is asked for. */
function sandbox(address: string, certFile: string | null): Parameters<typeof trustOf>[0] {
  const tls = certFile === null ? null : { certFile, keyFile: certFile }
  return { addresses: { gateway: address, admin: '' }, config: { listen: { tls } } } as unknown as Parameters<
    typeof trustOf
  >[0]
}

test('without a certificate curl needs nothing', () => {
  expect(trustOf(sandbox('http://127.0.0.1:8080', null))).toEqual({ address: 'http://127.0.0.1:8080', options: '' })
})

test.each(['localhost', 'gateway.corp.example', '*.corp.example'])(
  'with a certificate for %s curl trusts it, by a name that it holds',
  async (name) => {
    const { cert, key } = createAuthority('an authority').issue({ name })
    const certFile = join(folder, 'cert.pem')
    writeFileSync(certFile, cert)
    const server = createServer({ cert, key }, (_request, response) => response.end('trusted'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = server.address() as AddressInfo
      const { address, options } = trustOf(sandbox(`https://127.0.0.1:${port}`, certFile))
      expect(options).toContain(' --cacert ')
      const { stdout } = await promisify(execFile)('sh', [
        '-c',
        `curl -sS --noproxy '*'${options} "${address}/v3/self"`,
      ])
      expect(stdout).toBe('trusted')
    } finally {
      server.close()
      server.closeAllConnections()
    }
  },
)
