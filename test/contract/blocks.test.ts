// `block`, `unblock` and `blocks` as a shell sees them, against a gateway that runs.

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Explanation } from '../../src/policy/tools/explanation.ts'
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

describe('explain', () => {
  const sessions = '/v3/organizations/org-payments/sessions'
  const ann = ['--sub', 'ann', '--app', 'payments-bot', '--claim', 'jti=token-7']
  const asked = async (...args: string[]): Promise<Explanation & { code: number | null }> => {
    const { code, out, err } = await call('explain', '--json', ...args)
    expect(err).toBe('')
    return { ...(JSON.parse(out) as Explanation), code }
  }
  afterEach(async () => {
    const blocks = JSON.parse((await call('blocks', '--json')).out) as { kind: string; value: string }[]
    for (const { kind, value } of blocks) expect((await call('unblock', kind, value)).code).toBe(0)
  })

  test('says who is blocked by the running gateway, as the gateway answers', async () => {
    const issuer = gateway.issuer.issuer
    const told = async () => asked(...ann, '--actor', 'agent-1', 'GET', sessions)
    expect(await told()).toMatchObject({ code: 0, effect: 'allow', key: 'payments-runner' })
    for (const [kind, value, who] of [
      ['subject', 'ann', 'the subject ann'],
      ['subject', 'agent-1', 'the subject agent-1'],
      ['app', 'payments-bot', 'the app payments-bot'],
      ['issuer', issuer, `the issuer ${issuer}`],
      ['jti', 'token-7', 'this token'],
      ['team', 'payments', 'team payments'],
    ] as const) {
      expect((await call('block', kind, value, '--reason', 'INC-7', '--for', '1h')).code).toBe(0)
      const found = await told()
      expect(found, kind).toMatchObject({ code: 1, effect: 'deny', reason: 'blocked', problem: 'blocked' })
      expect(found.detail).toMatch(new RegExp(`have blocked ${who} until .*: INC-7\\. Ask them`))
      const claims = { sub: 'ann', azp: 'payments-bot', jti: 'token-7', act: { sub: 'agent-1' } }
      const answer = (await (await gateway.call(sessions, { claims })).json()) as { detail: string }
      expect(answer.detail).toBe(found.detail)
      expect((await call('unblock', kind, value)).code).toBe(0)
    }
    expect((await told()).effect).toBe('allow')
  })

  test('says of a blocked key that no other one takes its place, and of others nothing', async () => {
    await call('block', 'key', 'payments-runner', '--reason', 'INC-8')
    expect(await asked(...ann, 'POST', sessions, '--body', '{"prompt":"x"}')).toMatchObject({
      code: 1,
      reason: 'key-blocked',
      problem: 'key-unavailable',
      detail:
        'The operators of the gateway have blocked the key payments-runner: INC-8. Ask them before you try again. No stronger key takes its place.',
    })
    expect((await asked(...ann, 'GET', sessions)).detail).toMatch(/ Only a stored answer is given\.$/)
    expect(await asked('--team', 'analytics', 'GET', '/v3/enterprise/sessions')).toMatchObject({ effect: 'allow' })
    // What is denied needs no key.
    const denied = await asked(...ann, 'GET', '/v3/organizations/org-other/sessions')
    expect(denied.reason).toBe('organization-not-granted')
  })

  test('says it of each of several requests, of a token and of a recorded decision', async () => {
    const answer = await gateway.call(sessions)
    const decision = answer.headers.get('gateway-decision') ?? ''
    await gateway.recordsOf(decision)
    await call('block', 'subject', 'ann', '--reason', 'INC-9')
    const list = await call('explain', ...ann, '/v3/organizations/{org_id}/sessions')
    expect(list.out).toMatch(/deny {2}POST .*: blocked\ndeny {2}GET .*: blocked\n/)
    expect(list.out).toContain('0 of 2 allowed')
    const token = join(gateway.directory, 'token')
    await writeFile(token, await gateway.token())
    expect((await call('explain', '--token', token, 'GET', sessions)).out).toContain('deny (blocked)')
    const again = await call('explain', '--decision', decision)
    expect(again.out).toContain('now decided otherwise: allow (granted) then, deny (blocked) now')
    await call('unblock', 'subject', 'ann')
    expect((await call('explain', '--decision', decision)).out).toContain('now decided in the same way')
    await call('block', 'key', 'payments-runner', '--reason', 'INC-9')
    expect((await call('explain', '--decision', decision)).out).toContain(
      'now decided otherwise: allow (granted) then, deny (key-blocked) now',
    )
  })

  test('says that blocks were not asked where no gateway answers, or something else does', async () => {
    const silent = join(gateway.directory, 'gateway.yaml')
    const alone = await callCommand(['explain', ...ann, 'GET', sessions, '--config', silent], usualKeys)
    expect(alone.code).toBe(0)
    expect(alone.out).toContain(
      '· note      blocks were not asked: no gateway answers at http://127.0.0.1:0\nallow (granted)',
    )
    const several = await callCommand(['explain', ...ann, sessions, '--json', '--config', silent], usualKeys)
    expect(JSON.parse(several.out)).toMatchObject({
      notes: expect.arrayContaining([expect.stringMatching(/^blocks were not asked: /)]) as string[],
    })
    for (const body of ['{"error":"no"}', '[{"kind":"app"}]', '[null]', 'hello']) {
      const other = createServer((socket) => {
        socket.on('error', () => {})
        socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`))
      }).listen(0, '127.0.0.1')
      await once(other, 'listening')
      const elsewhere = join(gateway.directory, 'elsewhere.yaml')
      const text = await readFile(silent, 'utf8')
      const { port } = other.address() as AddressInfo
      await writeFile(elsewhere, text.replace('admin: "127.0.0.1:0"', `admin: "127.0.0.1:${port}"`))
      const found = await callCommand(['explain', ...ann, 'GET', sessions, '--config', elsewhere], usualKeys)
      expect([found.code, found.out], body).toEqual([
        0,
        expect.stringContaining(`blocks were not asked: what answers at http://127.0.0.1:${port} does not list any`),
      ])
      other.close()
    }
  })
})
