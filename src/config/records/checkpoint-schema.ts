// The schema of `checkpoints`: signed heads of the audit chain, and the places outside that keep them.

import path from 'node:path'
import { z } from 'zod'
import type { Path } from '../yaml/document.ts'
import { duration, oneKeyOf, text, textAs } from '../fields.ts'
import { secretReference } from '../secret-schema.ts'
import { withPathsFrom } from '../values/secret-reference.ts'
import { quoted, type Parsed } from '../units.ts'
import { parseCheckpointAddress, urlForm } from '../values/addresses.ts'

/** Where checkpoints go. */
export type CheckpointTarget =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'stdout' }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'syslog'; readonly protocol: 'udp' | 'tcp' | 'tls'; readonly host: string; readonly port: number }
  | { readonly kind: 'syslog'; readonly protocol: 'unix'; readonly path: string }

type SyslogConfig = Extract<CheckpointTarget, { kind: 'syslog' }>

const syslogForm = '^(?:(?:udp|tcp|tls)://.+|unix:/.+)$'
const usualPorts = { udp: 514, tcp: 601, tls: 6514 } as const

function parseSyslog(written: string): Parsed<SyslogConfig> {
  const socket = /^unix:(?:\/\/)?(\/.+)$/.exec(written)?.[1]
  if (socket !== undefined) return { value: { kind: 'syslog', protocol: 'unix', path: socket } }
  const parts = /^(udp|tcp|tls):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::([0-9]{1,5}))?$/.exec(written)
  const protocol = parts?.[1] as 'udp' | 'tcp' | 'tls' | undefined
  const host = parts?.[2] ?? parts?.[3]
  if (protocol === undefined || host === undefined)
    return {
      error: `${quoted(written)} must be udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:/PATH of a stream socket`,
    }
  const port = parts?.[4] === undefined ? usualPorts[protocol] : Number(parts[4])
  if (port < 1 || port > 65_535) return { error: `${quoted(written)} has a port that does not exist` }
  return { value: { kind: 'syslog', protocol, host, port } }
}

const place = z
  .strictObject({
    file: text()
      .optional()
      .describe('File that lines are appended to, relative to this file; best on another machine.'),
    syslog: textAs(parseSyslog, { pattern: syslogForm })
      .optional()
      .describe(
        'Syslog (RFC 5424): udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, or unix:/PATH of a stream socket.',
      ),
    http: textAs(parseCheckpointAddress, { pattern: urlForm })
      .optional()
      .describe('Address that takes each one by POST and answers 2xx. https; plain http only to loopback.'),
    stdout: z.literal(true).optional().describe('Standard output, where the platform collects it.'),
  })
  .refine((written) => Object.values(written).filter((value) => value !== undefined).length === 1, {
    error: 'a place is exactly one of file, syslog, http, stdout',
  })
  .meta(oneKeyOf('file', 'syslog', 'http', 'stdout'))

export const checkpointsSchema = z.strictObject({
  origin: z
    .string()
    .regex(/^[^\s+]{1,200}$/, 'must be a name without white space and "+"')
    .optional()
    .describe(
      "Names the log in its checkpoints, wherever its files are. Default: devin-gateway/ and the machine's name.",
    ),
  key: secretReference(
    'a key is never written here: { file: PATH } names it, and replace the key that was written here',
  ).describe('Ed25519 private key that signs, in PEM form. Its public key checks: keep that one elsewhere.'),
  every: duration('1s', '1d').prefault('1m').describe('How often the head is signed.'),
  to: z.array(place).min(1, 'name at least one place').describe('Places outside that keep checkpoints.'),
})

export type CheckpointsDocument = z.output<typeof checkpointsSchema>

/** The configuration with absolute paths; null where there is none. `records` are the targets of the record streams. */
export function resolveCheckpoints(
  written: CheckpointsDocument | undefined,
  folder: string,
  records: readonly string[],
  report: (at: Path, message: string) => void,
) {
  if (written === undefined) return null
  const { origin, key, every, to } = written
  return {
    /** Null: to be made of the machine's name. */
    origin: origin ?? null,
    key: withPathsFrom(folder, key),
    everyMs: every,
    targets: to.map(({ file, syslog, http }, index): CheckpointTarget => {
      if (http !== undefined) return { kind: 'http', url: http }
      if (file === undefined) return syslog ?? { kind: 'stdout' }
      const target = path.resolve(folder, file)
      if (records.includes(target))
        report(
          ['checkpoints', 'to', index, 'file'],
          'a checkpoint needs a place of its own: a record stream writes into this file',
        )
      return { kind: 'file', file: target }
    }),
  }
}
