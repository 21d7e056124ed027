// The `store` of config/gateway.yaml: what instances share their limits, budgets and invalidations over.

import { z } from 'zod'
import { duration, oneKeyOf, text, textAs } from './fields.ts'
import { quoted, type Parsed } from './units.ts'

/** The shared store, resolved. */
export type StoreConfig = ReturnType<typeof storeConfig>

interface StoreAddress {
  readonly host: string
  readonly port: number | null
  readonly tls: boolean
  readonly user: string | null
  readonly password: string | null
  readonly database: number | null
}

const addressForm =
  'write memory, or an address like valkey://host:6379/0 (valkeys:// for TLS; redis:// and rediss:// mean the same)'
const address =
  /^(?<scheme>valkeys?|rediss?):\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<name>[A-Za-z0-9._-]+))(?::(?<port>\d{1,5}))?(?:\/(?<database>\d{0,5}))?$/

/** The address of one node. What it says of user and password is never repeated in a message. */
function parseAddress(written: string): Parsed<StoreAddress> {
  const parts = address.exec(written)?.groups
  if (parts === undefined)
    return {
      error: written.includes('@')
        ? `not the address of a store: ${addressForm}`
        : `${quoted(written)} is not the address of a store: ${addressForm}`,
    }
  const { scheme = '', user = '', password, v6, name = '', port, database = '' } = parts
  if (port !== undefined && (Number(port) > 65_535 || Number(port) === 0))
    return { error: `port ${port} does not exist: ports are 1 to 65535` }
  const [plainUser, plainPassword] = [unescaped(user), unescaped(password ?? '')]
  if (plainUser === null || plainPassword === null)
    return { error: 'user and password of an address must be percent-encoded' }
  return {
    value: {
      host: v6 ?? name,
      port: port === undefined ? null : Number(port),
      tls: scheme.endsWith('s') && scheme !== 'redis',
      user: plainUser === '' ? null : plainUser,
      password: password === undefined ? null : plainPassword,
      database: database === '' ? null : Number(database),
    },
  }
}

function unescaped(part: string): string | null {
  try {
    return decodeURIComponent(part)
  } catch {
    return null
  }
}

// Without names for its groups, which not every reader of JSON schemas knows.
const node = () => textAs(parseAddress, { pattern: address.source.replaceAll(/\?<\w+>/g, '') })
const nodes = () => z.array(node()).min(1, 'name at least one node')

const reference = (what: string) =>
  z
    .strictObject({
      env: z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable, without "$"')
        .optional()
        .describe(`Environment variable that holds the ${what}.`),
      file: text().optional().describe(`File that holds the ${what}; one final line break is dropped.`),
    })
    .refine((written) => (written.env === undefined) !== (written.file === undefined), {
      error: `a ${what} has exactly one source: write { env: NAME } or { file: PATH }`,
    })
    .meta(oneKeyOf('env', 'file'))

const settings = z.strictObject({
  nodes: z
    .union([
      node().transform((one) => ({ cluster: false, list: [one] })),
      nodes().transform((list) => ({ cluster: true, list })),
    ])
    .describe('Address of the store, like valkey://host:6379/0; a list for a cluster, or of sentinels.'),
  sentinel: text().optional().describe('Name that sentinels know the store by; `nodes` are then the sentinels.'),
  ca: text()
    .optional()
    .describe(
      "CA certificates to trust for valkeys://, a PEM file. Default: the system's. Certificates are always verified.",
    ),
  user: text().optional().describe('User (ACL) to authenticate as.'),
  password: reference('password').optional().describe('Where the password comes from; never the value.'),
  secret: reference('secret')
    .optional()
    .describe(
      'Where the secret comes from that encrypts stored values: at least 32 characters, the same for all instances, and never in the store. `openssl rand -base64 32` makes one.',
    ),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9._:-]{1,64}$/, 'must be 1 to 64 letters, digits, ".", "_", ":" and "-"')
    .default('devin-gateway')
    .describe('Prefix of every key and channel; gateways with the same prefix share.'),
  timeout: duration('1ms', '10s').prefault('50ms').describe('Timeout of one call to the store.'),
  budgets_when_away: z
    .enum(['refuse', 'share'])
    .default('refuse')
    .describe(
      "Limits of cost (`sessions`) while the store is away: `refuse` what they limit, or apply this instance's `share`.",
    ),
})

export type StoreDocument = z.output<typeof settings> | null

/** Schema of `store`: `memory` (null), one address, a list of addresses for a cluster, or a mapping with more. */
export const storeSchema = z.union([
  z.literal('memory').transform((): StoreDocument => null),
  node().transform((one): StoreDocument => plain({ cluster: false, list: [one] })),
  nodes().transform((list): StoreDocument => plain({ cluster: true, list })),
  settings.transform((written): StoreDocument => written),
])

function plain(of: { cluster: boolean; list: StoreAddress[] }): StoreDocument {
  return { nodes: of, prefix: 'devin-gateway', timeout: 50, budgets_when_away: 'refuse' }
}

/** Contradictions between settings: a path below `store`, and a sentence. */
export function storeProblems(written: NonNullable<StoreDocument>): { at: string[]; message: string }[] {
  const { list } = written.nodes
  const first = list[0]
  const problems: { at: string[]; message: string }[] = []
  const complain = (message: string, ...at: string[]): void => void problems.push({ at, message })
  const differ = (what: keyof StoreAddress): boolean => list.some((each) => each[what] !== first?.[what])
  if (differ('tls')) complain('either all nodes speak TLS (valkeys://) or none does')
  if (differ('user') || differ('password')) complain('the nodes name different users or passwords: name one for all')
  if (kindOf(written) === 'cluster' && list.some(({ database }) => (database ?? 0) !== 0))
    complain('a cluster has no numbered databases: remove the number')
  else if (differ('database')) complain('the nodes name different databases: name one for all')
  if (written.password !== undefined && (first?.password ?? null) !== null)
    complain('the password stands in the address already', 'password')
  if (written.user !== undefined && (first?.user ?? null) !== null)
    complain('the user stands in the address already', 'user')
  const config = storeConfig(written, {
    ca: null,
    password: written.password === undefined ? null : '',
    secret: null,
  })
  if (config.user !== null && config.password === null) complain('a user needs a password')
  if (written.ca !== undefined && config.tls === null)
    complain('authorities are for TLS: write valkeys:// in the address', 'ca')
  return problems
}

/** The store in final values. `read`: what the settings name and load.ts has read, PEM text and values. */
export function storeConfig(
  written: NonNullable<StoreDocument>,
  read: { readonly ca: string | null; readonly password: string | null; readonly secret: string | null },
) {
  const { list } = written.nodes
  const first = list[0]
  const value = read.password ?? first?.password ?? null
  const { secret } = read
  const kind = kindOf(written)
  return {
    kind,
    nodes: list.map(({ host, port }) => ({ host, port: port ?? (kind === 'sentinel' ? 26_379 : 6379) })),
    /** TLS, verified against the system's authorities or those of the PEM text; null for none. */
    tls: first?.tls === true ? { ca: read.ca } : null,
    /** What the sentinels call the store; null without sentinels. */
    sentinel: written.sentinel ?? null,
    user: written.user ?? first?.user ?? null,
    /** A function, so that nothing that prints a configuration prints the password. */
    password: value === null ? null : () => value,
    /** What keys of sealed values are derived from, at least 32 bytes. */
    secret: secret === null ? null : () => Buffer.from(secret),
    database: first?.database ?? 0,
    /** Begins the name of every key and channel. */
    prefix: written.prefix,
    timeoutMs: written.timeout,
    /** What happens to limits of cost while the store is away: refused, or checked against this instance's share. */
    budgetsWhenAway: written.budgets_when_away,
  }
}

/** `sentinel`: the nodes are sentinels, which know where the store is. */
function kindOf({ sentinel, nodes: { cluster } }: NonNullable<StoreDocument>): 'single' | 'sentinel' | 'cluster' {
  if (sentinel !== undefined) return 'sentinel'
  return cluster ? 'cluster' : 'single'
}
