// The systemd unit, as systemd itself reads it; skipped where systemd is not installed.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const unit = join(import.meta.dirname, '../../deploy/systemd/devin-gateway.service')
const isInstalled = spawnSync('systemd-analyze', ['--version']).status === 0
if (!isInstalled && process.env['GATEWAY_TEST_PEERS'] === 'required') throw new Error('systemd is not installed')
const directory = mkdtempSync(join(tmpdir(), 'gateway-unit-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** What systemd says of a unit whose programs are there. */
function verify(text: string): { status: number | null; said: string } {
  const file = join(directory, 'devin-gateway.service')
  writeFileSync(file, text.replaceAll('/usr/bin/node ', '/bin/true '))
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' })
  return { status, said: stderr }
}

test.skipIf(!isInstalled)('leaves the service little to do harm with, by the score of systemd', () => {
  const exposure = (text: string): number => {
    const file = join(directory, 'devin-gateway.service')
    writeFileSync(file, text)
    const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', file], {
      encoding: 'utf8',
    })
    return Number(/Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1] ?? 10)
  }
  const text = readFileSync(unit, 'utf8')
  // 0 is the least, 10 the most.
  expect(exposure(text)).toBeLessThanOrEqual(1.5)
  expect(exposure(text.replace('NoNewPrivileges=yes', ''))).toBeGreaterThan(1.5)
})

test.skipIf(!isInstalled)('the systemd unit has nothing that systemd does not know', () => {
  const text = readFileSync(unit, 'utf8')
  expect(verify(text)).toEqual({ status: 0, said: '' })
  expect(verify(text.replace('LimitNOFILE=', 'LimitNoFile=')).said).toContain('LimitNoFile')
})

test('the unit, the image and the page about performance say the same flags of Node', () => {
  const read = (file: string): string => readFileSync(join(import.meta.dirname, '../..', file), 'utf8')
  const [ofUnit] =
    /(?<=^ExecStart=\/usr\/bin\/node )(?:--\S+ )+/m.exec(read('deploy/systemd/devin-gateway.service')) ?? []
  const [, ofImage = '[]'] = /^ENTRYPOINT (.*)$/m.exec(read('Dockerfile')) ?? []
  const flags = (JSON.parse(ofImage) as string[]).filter((word) => word.startsWith('--'))
  expect(flags.length).toBeGreaterThan(0)
  expect(ofUnit?.trim()).toBe(flags.join(' '))
  // Code that was compiled under other flags is compiled again at each start.
  expect(read('Dockerfile')).toContain(`RUN NODE_COMPILE_CACHE=/compile-cache node ${flags.join(' ')} bin/`)
  expect(read('docs/performance.md')).toContain(`Start with \`${flags.join(' ')}\``)
})
