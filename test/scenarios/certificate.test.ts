// The certificate of the callers' listener: one that clients would refuse never takes the place of a good one.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import { createAuthority, endingIn, longAgo, someDay, type ServerCertificate } from '../support/certificates.ts'
import { callCommand, runCommand } from '../support/command.ts'
import { createSite } from '../support/site.ts'
import { startTestGateway, usualKeys, type RunningGateway } from '../support/start-gateway.ts'

const authority = createAuthority('a test authority')
const listen = '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0", tls: { cert: cert.pem, key: key.pem } }'
const filesOf = ({ cert, key }: ServerCertificate) => ({ 'cert.pem': cert, 'key.pem': key })
const good = authority.issue({ name: 'localhost' })

/** A good certificate behind an authority that is valid in another time, which the chain names last. */
function chained(validity: readonly [from: string, to: string]): ServerCertificate {
  const old = createAuthority('another authority', validity)
  const { cert, key } = old.issue({ name: 'localhost' })
  return { cert: cert + old.ca, key }
}

const badOnes: [string, ServerCertificate, RegExp][] = [
  ['expired', authority.issue({ name: 'localhost', validity: longAgo }), /cert.*ended at 2021-01-01T00:00:00Z/],
  ['not valid yet', authority.issue({ name: 'localhost', validity: someDay }), /cert.*begins at 2049-01-01T00:00:00Z/],
  ['for clients', authority.issue({ name: 'localhost', forClients: true }), /cert.*not for servers/],
  ['with a weak key', authority.issue({ name: 'localhost', rsaBits: 1024 }), /cert.*key too small/],
  ["with another's key", { ...authority.issue({ name: 'localhost' }), key: good.key }, /key.*does not belong/],
  ['half written', { cert: good.cert.slice(0, 300), key: good.key }, /cert.*no PEM certificate/],
  ['empty', { cert: '', key: '' }, /cert.*no PEM certificate/],
  ['issued by one in the chain that has expired', chained(longAgo), /cert.*that issued the first ended at 2021-01-01T/],
  ['issued by one in the chain that is not valid yet', chained(someDay), /cert.*that issued the first begins at 2049-/],
]

describe.each(badOnes)('a certificate that is %s', (_name, bad, why) => {
  test.each(['check', 'start'])('is refused by %s', async (command) => {
    const site = await createSite({ listen })
    try {
      for (const [name, text] of Object.entries(filesOf(bad))) await writeFile(join(site.directory, name), text)
      const args = [command, '--config', site.configFile]
      const { code, err } = await callCommand(args, usualKeys)
      expect(code).toBe(1)
      expect(err).toMatch(why)
      expect(err).toMatch(/gateway\.yaml:1:\d+: /)
      expect(err).not.toContain('PRIVATE KEY-----\n')
    } finally {
      await site.remove()
    }
  })
})

test('an expired one ends the process of `start` with 1 before it listens', async () => {
  const site = await createSite({ listen })
  try {
    const bad = filesOf(authority.issue({ name: 'localhost', validity: longAgo }))
    for (const [name, text] of Object.entries(bad)) await writeFile(join(site.directory, name), text)
    const { code, err } = await runCommand(['start', '--config', site.configFile], { env: usualKeys })
    expect(code).toBe(1)
    expect(err).toContain('the certificate ended at 2021-01-01T00:00:00Z')
    expect(err).not.toContain('"event":"started"')
  } finally {
    await site.remove()
  }
})

test('one that ends soon is a warning of check, which --strict refuses', async () => {
  const site = await createSite({ listen })
  try {
    const soon = filesOf(authority.issue({ name: 'localhost', validity: endingIn(3.5, Date.now()) }))
    for (const [name, text] of Object.entries(soon)) await writeFile(join(site.directory, name), text)
    const lenient = await callCommand(['check', '--config', site.configFile], usualKeys)
    expect(lenient.code).toBe(0)
    expect(lenient.err).toMatch(
      /gateway\.yaml:1:\d+: warning: .*cert\.pem: the certificate ends at .*, in 3 days: renew it/,
    )
    expect((await callCommand(['check', '--strict', '--config', site.configFile], usualKeys)).code).toBe(1)
  } finally {
    await site.remove()
  }
})

describe('a running gateway', () => {
  let running: RunningGateway
  afterEach(() => running.close())

  const put = async (certificate: ServerCertificate): Promise<void> => {
    for (const [name, text] of Object.entries(filesOf(certificate)))
      await writeFile(join(running.directory, name), text)
  }
  const reload = async (): Promise<{ certificate: string; diagnostics: readonly string[] }> => {
    const answer = await fetch(`${running.adminUrl}/api/reload`, { method: 'POST' })
    return (await answer.json()) as { certificate: string; diagnostics: readonly string[] }
  }
  const metrics = async (): Promise<string> => await (await fetch(`${running.adminUrl}/metrics`)).text()
  /** When the certificate ends that a new connection sees. */
  const shown = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: running.port, host: 'localhost', ca: authority.ca }, () => {
        resolve(Date.parse(socket.getPeerCertificate().valid_to))
        socket.destroy()
      })
      socket.once('error', reject)
    })

  test.each(badOnes)('keeps its certificate before one that is %s', async (_name, bad, why) => {
    running = await startTestGateway({ listen, files: filesOf(good) })
    const before = await shown()
    await put(bad)
    const answer = await reload()
    expect(answer.certificate).toBe('kept')
    expect(answer.diagnostics.join('\n')).toMatch(why)
    expect(await shown()).toBe(before)
    expect(running.logLines.join('')).toContain('"event":"certificate"')
    expect(await metrics()).toContain('gateway_certificate_reloads_total{result="kept"} 1')
    const notes = (): string => (running.gateway.readiness().notes ?? []).join('\n')
    expect(notes()).toContain('the renewed certificate could not be used, and the one before stays in use: ')
    expect(notes()).toMatch(why)
    await put(good)
    expect((await reload()).certificate).toBe('read')
    expect(notes()).not.toContain('renewed')
  })

  test('takes a good one, and tells when it ends', async () => {
    running = await startTestGateway({ listen, files: filesOf(good) })
    expect(await metrics()).toContain(
      `gateway_certificate_expires_timestamp_seconds{listener="gateway"} ${Date.parse('2049-12-31T23:59:59Z') / 1000}`,
    )
    const later = authority.issue({ name: 'localhost', validity: ['200101000000Z', '480101000000Z'] })
    await put(later)
    expect(await reload()).toMatchObject({ certificate: 'read', diagnostics: [] })
    expect(await shown()).toBe(Date.parse('2048-01-01T00:00:00Z'))
    expect(await metrics()).toContain(
      `gateway_certificate_expires_timestamp_seconds{listener="gateway"} ${Date.parse('2048-01-01T00:00:00Z') / 1000}`,
    )
    expect(await metrics()).toContain('gateway_certificate_reloads_total{result="read"} 1')
  })

  test('warns two weeks before its certificate ends, and says in its readiness that it has ended', async () => {
    let offsetMs = 0
    running = await startTestGateway({
      listen,
      files: filesOf(authority.issue({ name: 'localhost', validity: endingIn(10.5, Date.now()) })),
      now: () => Date.now() + offsetMs,
    })
    const warnings = (): string[] => running.logLines.filter((line) => line.includes('"event":"certificate-expiry"'))
    expect(warnings()).toHaveLength(1)
    expect(warnings()[0]).toContain('in 10 days: renew it')
    expect((running.gateway.readiness().notes ?? []).join()).toContain('in 10 days')
    offsetMs = 11 * 86_400_000
    expect(running.gateway.readiness()).toMatchObject({ ready: true })
    expect((running.gateway.readiness().notes ?? []).join()).toContain('the certificate ended at')
    expect((await reload()).certificate).toBe('kept')
  })

  test('says nothing of certificates where it has none', async () => {
    running = await startTestGateway()
    expect(await metrics()).not.toMatch(/^gateway_certificate_expires_timestamp_seconds/m)
    expect(await reload()).not.toHaveProperty('certificate')
  })
})
