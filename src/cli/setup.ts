// What several commands need before they can begin: configuration, catalogue, policies, and a caller to ask about.

import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadCatalogue, type CatalogueSettings } from '../catalogue/load.ts'
import { Refused } from '../config/diagnostics.ts'
import { loadConfig, outlineOf } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { didYouMean } from '../config/nearest.ts'
import type { TestPrincipalDocument } from '../policy/documents/document.ts'
import { loadPolicies, ownConnections, readPolicyDirectory, type LoadedPolicies } from '../policy/loading/load.ts'
import type { PolicySet } from '../policy/model/policy-set.ts'
import { UsageError } from './usage.ts'
import type { Invocation } from './invocation.ts'
import type { Condition } from '../policy/model/condition.ts'

/** Root of the package: the sample configuration and policies lie there. */
export const packageRoot = fileURLToPath(new URL('../..', import.meta.url))

/** Version of the package. */
export function packageVersion(): string {
  // Our own manifest, which always has a version.
  return (JSON.parse(readFileSync(resolve(packageRoot, 'package.json'), 'utf8')) as { version: string }).version
}

export const configOption = {
  config: { type: 'string', help: 'configuration file (default: GATEWAY_CONFIG or config/gateway.yaml)' },
} as const
export const policiesOption = {
  policies: { type: 'string', help: "policy directory instead of the configuration's" },
} as const
export const callerOptions = {
  team: { type: 'string', help: 'a member of this team, with the attributes of its first members entry' },
  sub: { type: 'string', help: "the caller's subject" },
  email: { type: 'string', help: "the caller's e-mail address" },
  app: { type: 'string', help: 'the calling application' },
  actor: { type: 'string', help: 'who acts for the subject' },
  group: { type: 'string', multiple: true, help: 'a group of the caller; repeatable' },
} as const

/** The configuration file a command works on. */
export function configFile(invocation: Invocation): string {
  return resolve(invocation.option('config') ?? invocation.env['GATEWAY_CONFIG'] ?? 'config/gateway.yaml')
}

export interface Setup {
  readonly config: Config
  readonly loaded: LoadedPolicies
}

/** Loads configuration, catalogue and policies as `start` does, but for secrets, which a command may do without. */
export async function loadSetup(invocation: Invocation): Promise<Setup> {
  const { config, warnings } = await loadConfig(configFile(invocation), invocation.env).catch((error: unknown) =>
    addOtherProblems(invocation, error),
  )
  const directory = resolve(invocation.option('policies') ?? config.policiesDirectory)
  const loaded = await loadWithCatalogue(
    invocation,
    config.catalogue,
    directory,
    config.upstream.origin,
    ownConnections(config),
  )
  return { config, loaded: { ...loaded, diagnostics: [...warnings, ...loaded.diagnostics] } }
}

async function loadWithCatalogue(
  { env }: Invocation,
  settings: CatalogueSettings,
  directory: string,
  origin: string,
  connections: number | null,
): Promise<LoadedPolicies> {
  const { catalogue, diagnostics } = await loadCatalogue(settings).catch(async (error: unknown) => {
    if (!(error instanceof Refused)) throw error
    // Without the catalogue the syntax of the policies can be checked, their operation names cannot.
    throw new Refused([...error.diagnostics, ...(await readPolicyDirectory(directory)).diagnostics])
  })
  const sources = { env, origin }
  const loaded = await loadPolicies({ directory, catalogue, sources, secrets: 'reported', connections, now: Date.now })
  return { ...loaded, diagnostics: [...diagnostics, ...loaded.diagnostics] }
}

/** Catalogue and policies are checked even when the configuration is broken, so that all problems show at once. */
async function addOtherProblems(invocation: Invocation, error: unknown): Promise<never> {
  if (!(error instanceof Refused)) throw error
  const { catalogue, policiesDirectory } = await outlineOf(configFile(invocation), invocation.env)
  const directory = resolve(invocation.option('policies') ?? policiesDirectory)
  if (!existsSync(directory)) throw error
  const problems = await loadWithCatalogue(invocation, catalogue, directory, '', null).then(
    () => [],
    (other: unknown) => (other instanceof Refused ? other.diagnostics : []),
  )
  throw new Refused([...error.diagnostics, ...problems])
}

/**
 * The caller a command asks about; without `--sub` and a team that says so, a developer of the team or app. Throws a usage
 * error for an unknown team.
 */
export function callerFrom(invocation: Invocation, policy: PolicySet): TestPrincipalDocument & { subject: string } {
  const id = invocation.option('team')
  const groups = [...invocation.list('group')]
  let app = invocation.option('app')
  const attributes: { subject?: string; email?: string; actor?: string; claims?: Record<string, unknown> } = {}
  if (id !== null) {
    const team = policy.team(id)
    if (team === null)
      throw new UsageError(
        `unknown team "${id}"${didYouMean(
          id,
          policy.teams.map((each) => each.id),
        )}`,
      )
    const entry = memberEntry(team.members, app)
    groups.unshift(...(first(entry.groups) ?? []))
    app ??= first(entry.app)?.[0] ?? null
    const subject = first(entry.subject)?.[0]
    const email = first(entry.email)?.[0]
    const actor = first(entry.actor)?.[0] ?? (entry.delegated === true ? 'some-actor' : undefined)
    if (subject !== undefined) attributes.subject = subject
    if (email !== undefined) attributes.email = email
    if (actor !== undefined) attributes.actor = actor
    if (entry.claims.size > 0)
      attributes.claims = Object.fromEntries([...entry.claims].map(([path, values]) => [path, [...values][0]]))
  }
  return {
    ...attributes,
    subject: invocation.option('sub') ?? attributes.subject ?? `${id ?? app ?? 'some'}-developer`,
    ...(invocation.option('email') === null ? {} : { email: invocation.option('email') ?? '' }),
    ...(invocation.option('actor') === null ? {} : { actor: invocation.option('actor') ?? '' }),
    groups,
    ...(app === null ? {} : { app }),
  }
}

/** The entry that matches a named app, else the first one. */
function memberEntry(members: readonly Condition[], app: string | null): Condition {
  const fitting = app === null ? undefined : members.find((condition) => condition.app?.has(app) === true)
  const entry = fitting ?? members[0]
  // Policies with a team without members are refused when they are read.
  if (entry === undefined) throw new UsageError('the team has no members')
  return entry
}

function first(values: ReadonlySet<string> | null): string[] | null {
  return values === null ? null : [...values].slice(0, 1)
}
