// `block`, `unblock` and `blocks` as a shell sees them, against a gateway that runs.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callCommand } from '../support/command.ts'
import { startTestGateway, usualKeys, type RunningGateway } from '../support/start-gateway.ts'

let gateway: RunningGateway
let config: string
beforeAll(async () => {
  gateway = await startTestGateway()
  config = join(gateway.directory, 'running.yaml')
  const text = await readFile(join(gateway.directory, 'gateway.yaml'), 'utf8')
  await writeFile(config, text.replace('admin: "127.0.0.1:0"', `admin: "127.0.0.1:${gateway.gateway.admin.port}"`))
})
afterAll(() => gateway.close())
const call = (...args: string[]) => callCommand([...args, '--config', config], usualKeys)

describe('the commands', () => {
  test('block, list and unblock', async () => {
    const made = await call(
      'block',
      'app',
      'payments-bot',
      '--for',
      '1h',
      '--reason',
      'INC-1: stop',
      '--note',
      'by phone',
    )
    expect(made).toMatchObject({ code: 0, err: '' })
    expect(made.out).toMatch(/^app payments-bot is blocked until \d{4}-\d\d-\d\dT[\d:.]+Z\n$/)
    const listed = await call('blocks')
    expect(listed.out).toContain('app payments-bot  until ')
    expect(listed.out).toContain('INC-1: stop (by phone)')
    const [block, ...others] = JSON.parse((await call('blocks', '--json')).out) as Record<string, unknown>[]
    expect(others).toEqual([])
    expect(block).toMatchObject({ kind: 'app', value: 'payments-bot', reason: 'INC-1: stop', note: 'by phone' })
    expect(Date.parse(String(block?.['until'])) - Date.parse(String(block?.['since']))).toBe(3_600_000)
    expect(String(block?.['by'])).not.toBe('')
    expect(await call('unblock', 'app', 'payments-bot')).toMatchObject({
      code: 0,
      out: 'app payments-bot is not blocked any more\n',
    })
    expect((await call('blocks')).out).toBe('nobody is blocked\n')
    expect((await call('blocks', '--json')).out).toBe('[]\n')
    const audit = await gateway.auditText()
    expect(audit).toContain(String(block?.['by']))
  })

  test('block what matches nothing, and say so', async () => {
    const { code, out, err } = await call('block', 'key', 'payments-runer', '--reason', 'x')
    expect([code, out]).toEqual([0, 'key payments-runer is blocked\n'])
    expect(err).toBe('note: there is no key "payments-runer" here; did you mean "payments-runner"?\n')
    expect((await call('unblock', 'key', 'payments-runer')).code).toBe(0)
  })

  test.each<[string[], number, string]>([
    [['block', 'ap', 'x', '--reason', 'r'], 2, 'unknown kind "ap"; did you mean "app"?'],
    [['block', 'tema', 'x', '--reason', 'r'], 2, 'did you mean "team"?'],
    [['block', '--reason', 'r'], 2, 'say what kind: subject, app, team, issuer, jti, key'],
    [['block', 'app', '--reason', 'r'], 2, 'say which app'],
    [['block', 'app', 'x'], 2, '--reason: say why'],
    [['block', 'app', 'x', '--reason', ' '], 2, '--reason: say why'],
    [['block', 'app', 'x', '--reason', 'r', '--for', '60'], 2, '--for: "60"'],
    [['block', 'app', 'x', '--reason', 'r', '--for', '-1h'], 2, '--for'],
    [['block', 'app', 'x', '--reason', 'r', '--for', '400d'], 2, '--for: a block lasts from 1s to 366d'],
    [['block', 'app', 'x', 'y', '--reason', 'r'], 2, '"y" is one argument too many'],
    [['unblock', 'app'], 2, 'say which app'],
    [['unblock', 'sub', 'x'], 2, 'unknown kind "sub"'],
    [['unblock', 'app', 'x'], 1, 'the app "x" is not blocked. "blocks" lists what is'],
  ])('%j ends with %i and a sentence', async (args, code, text) => {
    const ended = await call(...args)
    expect(ended.code).toBe(code)
    expect(ended.err).toContain(text)
    expect((await call('blocks', '--json')).out).toBe('[]\n')
  })

  test('say that no gateway runs', async () => {
    const { code, err } = await callCommand(['blocks', '--config', join(gateway.directory, 'gateway.yaml')], usualKeys)
    expect(code).toBe(1)
    expect(err).toContain('the running gateway could not be asked at http://127.0.0.1:0')
  })
})
