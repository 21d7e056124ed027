// Every stream and other emitter that the sources make has somebody who hears its errors from then on: an `error` event
// without a listener ends the process, whoever caused it.

import { describe, expect, test } from 'vitest'
import { readSources } from './support/sources.ts'

/** What makes an emitter wherever it stands. */
const makers: readonly RegExp[] = [
  /\bcreate(?:Server|SecureServer|Connection|ReadStream|WriteStream)\(/,
  /\bcreate(?:Gunzip|Gzip|Inflate|InflateRaw|Deflate|BrotliDecompress|BrotliCompress|ZstdDecompress|Unzip)\(/,
  /\.createStream\(/,
  /\bfastify\(/i,
  /\bcluster\.fork\(/,
]
/** What makes one under a name that comes from these modules: a call, `new` or `extends`. */
const imported =
  /import (?!type\b)\{([^}]*)\} from '(?:node:(?:stream|net|tls|https?|http2|child_process|worker_threads|events)|undici|ioredis)'/g
const names =
  /^(?:connect|createConnection|request|get|spawn|exec|execFile|fork|Transform|Readable|Writable|Duplex|PassThrough|Socket|TLSSocket|Worker|Client|Pool|Agent|Redis|Cluster)(?: as (?<name>\w+))?$/

/** Who hears the errors where it is not the maker. The named file listens, or nothing can be heard. */
const elsewhere: Readonly<Record<string, string>> = {
  'http/content-coding': 'gateway/responses/compressed-answer',
  'store/connection': 'store/client',
  'gateway/listener/server': 'gateway/listener/connections',
  // Read with `for await`, which takes the errors of a stream as its own.
  'records/audit/audit-tail': 'for await',
  'cli/input': 'for await',
  'cli/logs/read-logs': 'for await',
  'cli/commands/policies/matrix': 'await written',
  // A pipeline, which is awaited, and an iterator, which takes the errors of a stream as its own.
  'sandbox/simulator/state/objects': 'await',
  // undici gives the errors of its connections to the requests, which are awaited.
  'identity/signing-keys/json-fetch': 'await',
  'identity/sign-in/sign-in': 'await',
  'cli/operators': 'await',
  'records/rotation/archive': 'await pipeline',
  'records/search/compressed-file': 'for await',
  'keys/sources/vault/vault-client': 'await',
}

const listens = /\.on\(\s*'error'/
const sources = readSources()

function makesEmitter(code: string): boolean {
  if (makers.some((maker) => maker.test(code))) return true
  return [...code.matchAll(imported)].some(([, list = '']) =>
    list.split(',').some((each) => {
      const found = names.exec(each.trim())
      const name = found?.groups?.['name'] ?? each.trim()
      return found !== null && new RegExp(`(?<!\\.)\\b${name}\\(|\\bextends ${name}\\b`).test(code)
    }),
  )
}

function codeOf(name: string): string {
  return sources.find((source) => source.name === name)?.code ?? ''
}

describe('whatever emits errors', () => {
  test('is heard where it is made, or by the file that the table names', () => {
    const unheard = sources
      .filter(({ code }) => makesEmitter(code) && !listens.test(code))
      .filter(({ name, code }) => {
        const where = elsewhere[name]
        if (where === undefined) return true
        return where.includes('await') ? !code.includes(where) : !listens.test(codeOf(where))
      })
    expect(unheard.map(({ name }) => name)).toEqual([])
  })

  test('is heard for as long as it lives: a listener for one error leaves the next one to nobody', () => {
    const once = sources.flatMap(({ name, code }) =>
      [...code.matchAll(/(\w+)(?:\??\.\w+\([^()]*\))*\??\s*\.once\(\s*'error'/g)]
        .filter(([, emitter = '']) => !new RegExp(`\\b${emitter}\\s*\\.on\\(\\s*'error'`).test(code))
        .map(([, emitter]) => `${name}: ${emitter}`),
    )
    expect(once).toEqual([])
  })

  test('is named in the table only where it is', () => {
    const makes = Object.keys(elsewhere).filter((name) => makesEmitter(codeOf(name)))
    expect(makes).toEqual(Object.keys(elsewhere))
  })

  test.each([
    ['const server = createServer(answer)', true],
    ["import { Transform } from 'node:stream'\nclass Meter extends Transform {}", true],
    ["import { Agent } from 'undici'\nconst agent = new Agent({})", true],
    ['class PassThrough {}\nconst own = new PassThrough()', false],
    ["import { connect as dial } from 'node:net'\nconst socket = dial(1)", true],
    ["import { connect } from './place.ts'\nconnect(1)", false],
    ["import type { Socket } from 'node:net'", false],
    ['const worker = cluster.fork({})', true],
  ])('is found in `%s`: %s', (code, expected) => {
    expect(makesEmitter(code)).toBe(expected)
  })
})
