import { describe, expect, it } from 'vitest'
import { createLog, type LogFields, type LogOptions } from '../../src/records/log.ts'
import { startProgram, textOf } from './child.ts'

function record(level: LogOptions['level'] = 'info') {
  const lines: string[] = []
  class Own extends Error {
    override readonly name = 'Own'
  }
  const log = createLog({ level, destination: { write: (line) => void lines.push(line) }, ownErrors: [Own] })
  return { log, lines, Own }
}

describe('the operational log', () => {
  it('writes one JSON line for each message', () => {
    const { log, lines } = record()
    log.info({ revision: 'r1', teams: 3 }, 'policies replaced')
    expect(lines).toHaveLength(1)
    expect(lines[0]?.endsWith('\n')).toBe(true)
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      revision: 'r1',
      teams: 3,
      msg: 'policies replaced',
    })
  })

  it('prints from its level upwards', () => {
    const { log, lines } = record('warn')
    log.debug({}, 'no')
    log.info({}, 'no')
    log.warn({}, 'yes')
    log.error({}, 'yes')
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(['warn', 'error'])
    const silent = record('silent')
    silent.log.error({}, 'no')
    expect(silent.lines).toEqual([])
  })

  it('never prints a planted secret, wherever it stands', () => {
    const { log, lines, Own } = record()
    const planted = 'cog_plantedplantedplanted'
    const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJwbGFudGVkIjoxfQ.c2lnbmF0dXJl'
    const foreign = Object.assign(new Error(`bad value ${planted}`), {
      config: { headers: { Authorization: 'planted' } },
      claims: { email: 'planted' },
    })
    const fields: LogFields[] = [
      { Authorization: 'planted' },
      { token: 'planted' },
      { a: { b: { c: { token: 'planted' } } } },
      { list: [{ secret: 'planted' }, ['authorization', 'planted']] },
      { url: `https://x/?access_token=planted&k=${planted}` },
      { [planted]: 1 },
      { err: foreign },
      { error: foreign },
      { deep: [{ failure: new Own(`with ${planted}`, { cause: foreign }) }] },
      { err: { message: `text ${planted}`, stack: `x ${planted}`, config: { apiKey: 'planted' } } },
      { jwt, text: jwt },
    ]
    for (const each of fields) log.error(each, `about ${planted} and ${jwt}`)
    log.error(foreign as never, 'an error in place of fields') // against the type, as a defect elsewhere could
    expect(lines).toHaveLength(fields.length + 1)
    for (const line of lines) {
      expect(() => JSON.parse(line)).not.toThrow()
      expect(line).not.toMatch(/planted|c2lnbmF0dXJl/)
    }
  })

  it.each(['err', 'error'])('keeps what helps of an error in %s: name, code, own message, place', (field) => {
    const { log, lines, Own } = record()
    const cause = Object.assign(new Error('x'), { code: 'ENOENT' })
    log.warn({ [field]: new Own('the file is empty', { cause }) }, 'key not read')
    const place: unknown = expect.arrayContaining([expect.stringContaining('log.test.ts')])
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'warn',
      time: expect.any(String) as unknown,
      [field]: {
        name: 'Own',
        message: 'the file is empty',
        at: place,
        cause: { name: 'Error', code: 'ENOENT', at: place },
      },
      msg: 'key not read',
    })
  })

  it('does not let fields take the place of its own members', () => {
    const { log, lines } = record()
    log.info({ level: 'x', time: 'y', msg: 'z' }, 'text with %s and %d')
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      level_: 'x',
      time_: 'y',
      msg_: 'z',
      msg: 'text with %s and %d',
    })
    expect(lines[0]?.match(/"msg":/g)).toHaveLength(1)
  })

  it('says why it cannot be written, as long as it cannot', async () => {
    const program = startProgram(
      `
      const log = createLog({ level: 'info' })
      const before = log.fault()
      log.info({}, 'tick')
      setTimeout(() => process.stdout.write(JSON.stringify([before, log.fault()])), 50)
    `,
      { before: 'exec 2> /dev/full' },
    )
    expect(JSON.parse(await textOf(program.stdout))).toEqual([null, 'ENOSPC'])
  })

  it('goes to stderr, complete when close has resolved', async () => {
    const program = startProgram(`
      const log = createLog({ level: 'info' })
      for (let index = 0; index < 2000; index += 1) log.info({ index }, 'tick')
      await log.close()
      log.info({}, 'after the end')
    `)
    const lines = (await textOf(program.stderr)).split('\n').slice(0, -1)
    expect(lines.map((line) => (JSON.parse(line) as { index: number }).index)).toEqual(
      Array.from({ length: 2000 }, (_, index) => index),
    )
  })
})
