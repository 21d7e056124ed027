// Record files of a real gateway of two workers that move away by size, while another program rotates the same
// files and sends its signal: every request has its line, once, and the chain of the audit log holds.

import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import { callCommand, startGatewayProcess } from '../support/command.ts'
import { startIssuer } from '../support/issuer.ts'
import { createSite } from '../support/site.ts'
import { until, usualKeys } from '../support/start-gateway.ts'
import { startUpstream } from '../support/upstream.ts'
import { describeWithValkey, startStoreServer } from '../support/valkey.ts'

const path = '/v3/organizations/org-payments/sessions'

describeWithValkey('rotation', () => {
  test('of several workers, beside another program that rotates, loses and doubles no line', async () => {
    const [store, upstream, issuer] = await Promise.all([startStoreServer(), startUpstream(), startIssuer()])
    const site = await createSite({
      upstream: upstream.origin,
      issuer,
      config: `store: "${store.address}"\n`,
    })
    const configuration = readFileSync(site.configFile, 'utf8')
    writeFileSync(
      site.configFile,
      configuration.replace(
        'audit: audit.ndjson }',
        'audit: audit.ndjson, rotate: { size: 20KiB, keep: 1d, keep_size: 1GiB } }',
      ),
    )
    const gateway = await startGatewayProcess(site.configFile, {
      env: usualKeys,
      options: ['--workers', '2'],
    })
    onTestFinished(async () => {
      await gateway.kill()
      await Promise.all([store.close(), upstream.close(), issuer.stop(), site.remove()])
    })
    const files = (stream: string): string[] =>
      readdirSync(site.directory).filter((name) => name.startsWith(`${stream}.ndjson`) && !name.endsWith('.head'))
    const own = (stream: string): string[] => files(stream).filter((name) => /ndjson\.2.*Z(\.gz)?$/.test(name))
    const textOf = (name: string): string => {
      const bytes = readFileSync(join(site.directory, name))
      // A slow machine comes to the compression, too.
      return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
    }

    const token = await issuer.sign({ groups: ['sso-payments-eng'] })
    const decisions = new Set<string>()
    const enough = new AbortController()
    const ask = async (): Promise<void> => {
      while (!enough.signal.aborted) {
        const answer = await fetch(`http://127.0.0.1:${gateway.port}${path}`, {
          headers: { authorization: `Bearer ${token}`, connection: 'close' },
        })
        await answer.text()
        decisions.add(answer.headers.get('gateway-decision') ?? '')
      }
    }
    const asking = [ask(), ask(), ask()]
    await until(() => own('access').length > 0 && own('decisions').length > 0, 'files that have moved away by size')

    // As logrotate does it, with and without `create`, three times.
    for (const round of [1, 2, 3]) {
      const before = decisions.size
      for (const stream of ['access', 'decisions', 'audit']) {
        const file = join(site.directory, `${stream}.ndjson`)
        await until(() => {
          try {
            renameSync(file, `${file}.${round}`)
            return true
          } catch {
            // The gateway has just moved it away itself.
            return false
          }
        }, `${stream} to be there`)
        if (round === 2) writeFileSync(file, '', { flag: 'a' })
      }
      gateway.signal('SIGHUP')
      await until(() => decisions.size > before + 60, 'requests after the signal')
    }
    enough.abort()
    await Promise.all(asking)
    gateway.signal('SIGTERM')
    const { code, err } = await gateway.ended
    expect(code).toBe(0)

    for (const stream of ['access', 'decisions']) {
      const lines = files(stream).flatMap((name) => textOf(name).split('\n').slice(0, -1))
      const ids = lines.map((line) => (JSON.parse(line) as { decision_id: string }).decision_id)
      expect(ids.length).toBe(new Set(ids).size)
      expect([...decisions].filter((id) => !ids.includes(id))).toEqual([])
    }
    expect(files('access')).toEqual(expect.arrayContaining(['access.ndjson.1', 'access.ndjson.2', 'access.ndjson.3']))
    const logs = readdirSync(site.directory).filter((name) => name.startsWith('audit.ndjson'))
    expect(await callCommand(['audit', 'verify', ...logs.map((name) => join(site.directory, name))])).toMatchObject({
      code: 0,
    })
    const said = err.split('\n').filter((line) => /"event":"records"/.test(line))
    expect(said).toEqual([])
  }, 60_000)
})
