import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chainLine, describeTorn, genesis, segmentEvent } from '../../../src/records/audit/chain.ts'
import { verifyChain } from '../../support/chain.ts'
import type { AuditEntry } from '../../../src/records/entries.ts'
import { areNamesReadRight } from '../../support/json-names.ts'

const anyText = fc.string({
  unit: fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.constant('\ud800')),
})
const anyEntry: fc.Arbitrary<AuditEntry> = fc.record({
  time: fc.constant('2026-11-24T10:00:00.000Z'),
  event: anyText,
  actor: anyText,
  details: fc.dictionary(anyText, fc.jsonValue()).filter(areNamesReadRight),
})

function chainOf(entries: readonly AuditEntry[]): string[] {
  let previous = genesis
  return entries.map((entry, index) => {
    const line = chainLine(previous, index + 1, entry)
    previous = line.hash
    return line.text
  })
}

function entry(event: string, details: Readonly<Record<string, unknown>> = {}): AuditEntry {
  return { time: '2026-11-24T10:00:00.000Z', event, actor: 'operator', details }
}

const anyChain = fc.array(anyEntry, { minLength: 1, maxLength: 6 }).map(chainOf)
const chainOfTwo = fc.array(anyEntry, { minLength: 2, maxLength: 6 }).map(chainOf)
const five = chainOf(['start', 'reload', 'refused', 'rotate', 'stop'].map((event) => entry(event)))

describe('a line of the chain', () => {
  it('has exactly the documented bytes', () => {
    const line = chainLine(genesis, 1, entry('policy.replaced', { revision: 'r1', "file's name": 'zürich' }))
    const body = `{"seq":1,"time":"2026-11-24T10:00:00.000Z","event":"policy.replaced","actor":"operator","details":{"revision":"r1","file's name":"z\\u00fcrich"},"previous":"${genesis}"`
    const hash = createHash('sha256').update(`${body}}`).digest('hex')
    expect(line).toEqual({ seq: 1, hash, text: `${body},"hash":"${hash}"}` })
  })

  it('is ASCII, one line, and gives every entry back exactly', () => {
    fc.assert(
      fc.property(anyEntry, (original) => {
        const { text, hash } = chainLine(genesis, 1, original)
        expect(text).toMatch(/^[\x20-\x7e]*$/)
        const expected: unknown = JSON.parse(JSON.stringify({ seq: 1, ...original, previous: genesis, hash }))
        expect(JSON.parse(text)).toEqual(expected)
      }),
    )
  })
})

/** The line of what is wrong with a file, and not with one of its lines. */
const ofTheFile = 0

describe('a chain in a file', () => {
  it('accepts a chain and gives its length and head', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyEntry, { maxLength: 6 }), async (entries) => {
        const lines = chainOf(entries)
        const head = lines.length === 0 ? genesis : (JSON.parse(lines.at(-1) ?? '') as { hash: string }).hash
        expect(await verifyChain(lines)).toEqual({ ok: true, entries: lines.length, head, tornLines: [] })
        expect(await verifyChain(lines, head)).toMatchObject({ ok: true })
      }),
    )
  })

  it('finds a change of any single character', async () => {
    await fc.assert(
      fc.asyncProperty(anyChain, fc.nat(), fc.nat(), fc.string({ maxLength: 2 }), async (lines, line, at, by) => {
        const changed = lines[line % lines.length] ?? ''
        const place = at % changed.length
        const text = `${changed.slice(0, place)}${by}${changed.slice(place + 1)}`
        fc.pre(text !== changed)
        const verdict = await verifyChain(lines.with(line % lines.length, text))
        const places = [(line % lines.length) + 1, ...(line % lines.length === lines.length - 1 ? [ofTheFile] : [])]
        expect(verdict.ok ? null : verdict.line).toBeOneOf(places)
      }),
      { numRuns: 500 },
    )
  })

  it('finds a removed line, and a removed last line by the expected head', async () => {
    await fc.assert(
      fc.asyncProperty(chainOfTwo, fc.nat(), async (lines, at) => {
        const index = at % lines.length
        const head = await verifyChain(lines)
        const verdict = await verifyChain(lines.toSpliced(index, 1), head.ok ? head.head : 'none')
        expect(verdict).toMatchObject({ ok: false, line: index === lines.length - 1 ? ofTheFile : index + 1 })
      }),
    )
  })

  it('finds two lines that changed places', async () => {
    await fc.assert(
      fc.asyncProperty(chainOfTwo, fc.nat(), fc.nat(), async (lines, a, b) => {
        const [first, second] = [a % lines.length, b % lines.length].toSorted((x, y) => x - y)
        fc.pre(first !== undefined && second !== undefined && first !== second)
        const swapped = lines.with(first ?? 0, lines[second ?? 0] ?? '').with(second ?? 0, lines[first ?? 0] ?? '')
        // A file may begin anywhere in a chain, so another first line shows at the second one.
        expect(await verifyChain(swapped)).toMatchObject({ ok: false, line: first === 0 ? 2 : (first ?? 0) + 1 })
      }),
    )
  })

  it('finds an inserted line: a copy, one of another chain, or any text', async () => {
    await fc.assert(
      fc.asyncProperty(anyChain, chainOfTwo, anyText, fc.nat(), fc.nat(), async (lines, other, text, at, from) => {
        const index = at % (lines.length + 1)
        for (const line of [lines[from % lines.length], other[from % other.length], text]) {
          // The first line of another chain in front of this one would be this chain.
          fc.pre(line !== undefined && !(lines.length === index && line === lines[index]))
          const verdict = await verifyChain(lines.toSpliced(index, 0, line ?? ''))
          expect(verdict.ok).toBe(false)
        }
      }),
    )
  })

  it('finds a last line that is cut off, wherever it was cut', async () => {
    await fc.assert(
      fc.asyncProperty(anyChain, fc.nat(), async (lines, at) => {
        const last = lines.at(-1) ?? ''
        const verdict = await verifyChain(lines.with(lines.length - 1, last.slice(0, at % last.length)))
        expect(verdict).toMatchObject({ ok: false, line: lines.length === 1 ? 1 : ofTheFile })
        if (!verdict.ok) expect(verdict.problem).toContain('is cut off')
      }),
    )
  })

  it('takes lines from a stream', async () => {
    async function* lines() {
      yield* five
    }
    expect(await verifyChain(lines())).toMatchObject({ ok: true, entries: 5 })
  })

  it('takes an expected head from anywhere in the chain, because a chain grows after its head was noted', async () => {
    const third = await verifyChain(five.slice(0, 3))
    expect(await verifyChain(five, third.ok ? third.head : '')).toMatchObject({ ok: true, entries: 5 })
  })

  const hashOf = (line: number) => (JSON.parse(five[line - 1] ?? '') as { hash: string }).hash
  const forged = chainLine(hashOf(2), 3, entry('forged')).text
  const elsewhere = chainOf(['a', 'b', 'c', 'd'].map((event) => entry(event)))
  const notAfterThree =
    "line 4 does not belong after seq 3: its `previous` is another line's hash; one of the two was replaced or inserted"
  it.each([
    [
      'a changed line',
      five.with(1, (five[1] ?? '').replace('reload', 'rel0ad')),
      'line 2 was changed: its hash does not fit what it says',
    ],
    [
      'a removed line',
      five.toSpliced(2, 1),
      'line 3 has seq 4 after seq 2: 1 line(s) between them were removed, or moved',
    ],
    [
      'a removed beginning',
      five.slice(2),
      'line 1 has seq 3, and it is the first: 2 line(s) before it were removed, or are in a file that was not given',
    ],
    ['a repeated line', five.toSpliced(2, 0, five[1] ?? ''), 'line 3 repeats the line before it'],
    [
      'an old line again',
      five.toSpliced(3, 0, five[0] ?? ''),
      'line 4 has seq 1 after seq 3: lines were reordered, repeated or inserted',
    ],
    ['a replaced line', five.with(2, forged), notAfterThree],
    ['a line of another chain', five.with(3, elsewhere[3] ?? ''), notAfterThree],
    [
      'another beginning',
      [chainLine('1'.repeat(64), 1, entry('start')).text],
      'line 1 is the first, and its `previous` is not 64 zeros',
    ],
    ['text between', five.toSpliced(2, 0, 'hello'), 'line 3 is no JSON: it was changed or inserted'],
    ['an empty line between', five.toSpliced(2, 0, ''), 'line 3 is no JSON: it was changed or inserted'],
    ['foreign JSON', five.toSpliced(2, 0, '{"level":"info"}'), 'line 3 is JSON, but no line of an audit log'],
    ['JSON that is no object', five.toSpliced(2, 0, '17'), 'line 3 is JSON, but no line of an audit log'],
    ['a carriage return', five.with(1, `${five[1]}\r`), 'line 2 is JSON, but no line of an audit log'],
    [
      'a cut-off end',
      five.with(4, (five[4] ?? '').slice(0, 40)),
      'the file ends in the middle of a line behind seq 4: it is cut off',
    ],
  ])('says what is wrong: %s', async (_name, lines, problem) => {
    expect(await verifyChain(lines)).toMatchObject({ ok: false, problem })
  })

  it('says that the expected head is missing', async () => {
    expect(await verifyChain(five.slice(0, 3), hashOf(5))).toEqual({
      ok: false,
      line: 0,
      problem: `the chain ends with seq 3 and hash ${hashOf(3)}; the expected head ${hashOf(5)} does not occur: lines were removed from the end, or this is another chain`,
    })
  })
})

describe('a segment line', () => {
  const torn = (five[2] ?? '').slice(0, 50)
  const { lines, sha256 } = describeTorn([torn])
  const seam = chainLine(
    (JSON.parse(five[1] ?? '') as { hash: string }).hash,
    3,
    entry(segmentEvent, { torn_lines: lines, torn_sha256: sha256 }),
  )
  const after = chainLine(seam.hash, 4, entry('start'))
  const sound = [five[0] ?? '', five[1] ?? '', torn, seam.text, after.text]

  it('vouches for the cut-off line before it', async () => {
    expect(await verifyChain(sound)).toEqual({ ok: true, entries: 4, head: after.hash, tornLines: [3] })
  })

  it.each([
    [
      'was removed',
      sound.toSpliced(2, 1),
      'line 3 vouches for 1 unfinished line(s) before it, and they were removed or changed since',
    ],
    [
      'was changed',
      sound.with(2, `${torn}!`),
      'line 4 vouches for 1 unfinished line(s) before it, and they were removed or changed since',
    ],
    [
      'was doubled',
      sound.toSpliced(2, 0, torn),
      'line 5 vouches for 1 unfinished line(s) before it, and they were removed or changed since',
    ],
    ['has no segment line', sound.toSpliced(3, 1), 'line 3 is no JSON: it was changed or inserted'],
  ])('does not vouch for a cut-off line that %s', async (_name, changed, problem) => {
    expect(await verifyChain(changed)).toMatchObject({ ok: false, problem })
  })
})
