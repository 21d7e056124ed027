// `audit verify` as an auditor types it: files in any order, with and without checkpoints; both forms of output and the exit codes.

import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as readText } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chainLine, genesis, segmentEvent } from '../../src/records/audit/chain.ts'
import { readSigningKey, signCheckpoint } from '../../src/records/checkpoints/checkpoint.ts'
import { callCommand, commandFile } from '../support/command.ts'

let folder = ''
/** Three files of three, four and three lines; checkpoints of lines 2, 5 and 9. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'audit-verify-'))
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const signer = readSigningKey(String(privateKey.export({ type: 'pkcs8', format: 'pem' })))
  const put = async (name: string, lines: readonly string[]): Promise<void> =>
    await writeFile(join(folder, name), lines.map((line) => `${line}\n`).join(''))
  let head = { seq: 0, hash: genesis }
  const checkpoints: string[] = []
  for (const [index, length] of [3, 4, 3].entries()) {
    const lines: string[] = []
    for (let at = 0; at < length; at += 1) {
      const isSegment = at === 0 && head.seq > 0
      const details = isSegment ? { previous_seq: head.seq, previous_hash: head.hash } : { n: head.seq }
      const entry = { time: '2026-11-29T12:00:00Z', event: isSegment ? segmentEvent : 'reload', actor: 'test', details }
      const { seq, hash, text } = chainLine(head.hash, head.seq + 1, entry)
      lines.push(text)
      head = { seq, hash }
      if ([2, 5, 9].includes(seq)) checkpoints.push(JSON.stringify(signCheckpoint('gw/1', head, '12:00', signer)))
    }
    await put(`audit.${index}`, lines)
  }
  await put('checkpoints', checkpoints)
  await writeFile(join(folder, 'edited'), (await readFile(join(folder, 'audit.1'), 'utf8')).replace('"n":4', '"n":5'))
  await put('empty', [])
  await writeFile(join(folder, 'public.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The words of the command; names of files stand in the folder. */
async function verify(words: string): Promise<{ code: number | null; out: string; err: string }> {
  const args = words.split(' ').map((word) => (/^(?:-|\d+$|gw\/)/.test(word) ? word : join(folder, word)))
  return await callCommand(['audit', 'verify', ...args])
}

const signed = '--checkpoints checkpoints --public-key public.pem'

test.each([
  ['audit.0 audit.1 audit.2', 0, ['ok', 'entries', 'head', 'tornLines', 'files', 'problems'], {}],
  ['audit.0', 0, ['ok', 'entries', 'head', 'tornLines'], { entries: 3 }],
  ['audit.1', 0, ['ok', 'entries', 'head', 'tornLines', 'begins_after'], { begins_after: { seq: 3 } }],
  ['edited', 1, ['ok', 'line', 'problem', 'begins_after'], { line: 2 }],
  [
    `audit.2 audit.0 audit.1 ${signed}`,
    0,
    ['ok', 'entries', 'head', 'tornLines', 'files', 'checkpoints', 'anchored', 'unanchored', 'problems'],
    {
      files: [{ from: 1 }, { from: 4 }, { from: 8, to: 10, entries: 3 }],
      checkpoints: { signed: 3, forged: 0, unknown_key: 0, unreadable: 0 },
      anchored: [{ from: 1, to: 9 }],
      unanchored: [{ from: 10, to: 10 }],
    },
  ],
  [`audit.1 audit.2 ${signed} --from 4`, 0, null, { anchored: [{ from: 4, to: 9 }], begins_after: { seq: 3 } }],
  [`audit.2 audit.0 ${signed}`, 1, null, { anchored: [{ to: 2 }, { from: 8, to: 9 }], unanchored: [{ from: 3 }, {}] }],
  [`edited audit.0 ${signed}`, 1, null, { file: expect.stringContaining('edited'), line: 2 }],
  [`empty ${signed}`, 1, null, { file: null, line: 0, anchored: [], unanchored: [] }],
  ['no-such-file', 1, ['ok', 'error'], { error: expect.stringContaining('there is no such file') }],
] as const)('audit verify %s --json', async (words, expected, members, shape) => {
  const { code, out } = await verify(`${words} --json`)
  const answer = JSON.parse(out) as Record<string, unknown>
  expect([code, answer['ok']]).toEqual([expected, expected === 0])
  if (members !== null) expect(Object.keys(answer)).toEqual(members)
  expect(answer).toMatchObject(shape)
})

test('reads the log from standard input', async () => {
  const text = await readFile(join(folder, 'audit.0'))
  for (const [content, expected] of [
    [text, /^unbroken: 3 entries/],
    [Buffer.from(text.toString().replace('"n":1', '"n":7')), /^broken at standard input:2: /],
  ] as const) {
    const child = spawn(process.execPath, [commandFile, 'audit', 'verify', '-'])
    child.stdin.end(content)
    expect(await readText(child.stdout)).toMatch(expected)
  }
})

test.each([
  [`audit.0 ${signed} --origin gw/2`, 1, /nothing anchors it; --origin names gw\/2, and the checkpoints are of gw\/1/],
  [`audit.2 audit.1 audit.0 ${signed}`, 0, /anchored: seq 1 to 9\n.*not anchored: seq 10: no checkpoint has seen this/],
  [`audit.0 audit.1 ${signed}`, 1, /the lines of seq 8 to 9 are gone/],
  ['audit.0 --checkpoints checkpoints', 2, /--checkpoints needs --public-key/],
  ['audit.0 --public-key public.pem', 2, /--public-key needs --checkpoints/],
  ['checkpoints', 2, /name the files of the audit log/],
  ['audit.0 --from 0', 2, /--from takes the number of a line/],
] as const)('audit verify %s', async (words, expected, said) => {
  const { code, out, err } = await verify(words)
  expect(code).toBe(expected)
  expect(out + err).toMatch(said)
})

test.each([
  ['whole', (log: string) => log, /^unbroken: 3 entries/],
  ['cut off', (log: string) => `${log.split('\n').slice(0, 2).join('\n')}\n`, /seq 3 is gone.*head has noted seq 3/],
  ['emptied', () => '', /seq 1 to 3 are gone, or in a file that was not given: .*noted.head has noted seq 3/],
  ['longer by now', (log: string, more: string) => log + more, /^unbroken: 4 entries/],
  ['of another chain', (_log: string, _more: string, other: string) => other, /written anew: .*noted.head/],
])('a log that is %s is held against the note of its head, without checkpoints', async (_what, change, said) => {
  const log = await readFile(join(folder, 'audit.0'), 'utf8')
  const next = (await readFile(join(folder, 'audit.1'), 'utf8')).split('\n')[0] ?? ''
  const entry = { time: '2026-11-29T13:00:00Z', event: 'reload', actor: 'test', details: {} }
  let [other, hash] = ['', genesis]
  for (const seq of [1, 2, 3]) {
    const line = chainLine(hash, seq, entry)
    other += `${line.text}\n`
    hash = line.hash
  }
  const { seq, hash: noted } = JSON.parse(log.trim().split('\n').at(-1) ?? '') as { seq: number; hash: string }
  await writeFile(join(folder, 'noted.head'), JSON.stringify({ seq, hash: noted }))
  await writeFile(join(folder, 'noted'), change(log, `${next}\n`, other))
  const { code, out } = await verify('noted')
  expect(out).toMatch(said)
  expect(code).toBe(out.startsWith('unbroken') ? 0 : 1)
})

test('the note says nothing against files beside the log, or together with the one that holds its line', async () => {
  await writeFile(join(folder, 'empty.head'), await readFile(join(folder, 'noted.head')))
  expect((await verify('empty')).code).toBe(1)
  expect(await verify('empty audit.0')).toMatchObject({ code: 0 })
  expect(await verify('audit.1')).toMatchObject({ code: 0 })
})
