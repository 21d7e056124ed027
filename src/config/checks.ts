// What is wrong with a configuration although each value is well-formed. Errors cannot work; warnings probably do not do what
// was meant.

import { constants } from 'node:fs'
import { access, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Diagnostic } from './diagnostics.ts'
import { didYouMean } from './nearest.ts'
import type { GatewayDocument } from './schema.ts'
import { quoted } from './units.ts'
import { isLoopbackHost, type ListenAddress } from './values/addresses.ts'
import { descriptorLimit } from './values/descriptors.ts'
import { whyUnreadable } from './values/file-errors.ts'
import type { Path } from './yaml/document.ts'

export type Report = (path: Path, message: string, severity?: Diagnostic['severity']) => void

/** What is looked at of a resolved configuration. */
interface CheckedConfig {
  readonly listen: {
    readonly gateway: ListenAddress
    readonly admin: ListenAddress
    readonly health: ListenAddress | null
    readonly adminTls: object | null
  }
  readonly admin: {
    readonly url: string | null
    readonly auth: { readonly issuer: { readonly issuer: string } } | null
  }
  readonly upstream: { readonly origin: string }
  readonly issuers: readonly {
    readonly issuer: string
    readonly jwksUri: string | null
    readonly audience: readonly string[]
    readonly claims: Readonly<Record<string, string>>
  }[]
  readonly records: { readonly access: string; readonly decisions: string; readonly audit: string }
  readonly policiesDirectory: string
  readonly shadowPoliciesDirectory: string | null
}

/** Reports contradictions and doubtful values. */
export async function checkConfig(config: CheckedConfig, written: GatewayDocument, report: Report): Promise<void> {
  checkPorts(config.listen, report)
  checkCaps(written, report)
  checkOperators(config, report)
  checkRoles(config, written, report)
  checkUpstream(config.upstream.origin, report)
  checkIssuers(config.issuers, report)
  await checkShadow(config, report)
  for (const stream of ['access', 'decisions', 'audit'] as const) {
    const target = config.records[stream]
    const isAmong = target !== config.policiesDirectory && isInside(target, config.policiesDirectory)
    const problem = isAmong
      ? `${target} lies in the folder of the policies, where every file is read: reloads are refused unless .gatewayignore names it and all that is written beside it. Name another folder`
      : await targetProblem(written.records[stream], target)
    // A warning, because what is in the way may go away while the gateway runs.
    if (problem !== null) report(['records', stream], problem, 'warning')
  }
}

/** An address on all interfaces takes the port of every other one. */
function checkPorts({ gateway, admin, health }: CheckedConfig['listen'], report: Report): void {
  const everywhere = (host: string): boolean => host === '0.0.0.0' || host === '::'
  const plain = (host: string): string => (host === 'localhost' || host === '::1' ? '127.0.0.1' : host)
  const collides = (one: ListenAddress, other: ListenAddress): boolean =>
    one.port === other.port &&
    one.port !== 0 &&
    (plain(one.host) === plain(other.host) || [one, other].some(({ host }) => everywhere(host)))
  const say = (name: string, other: string, port: number): void =>
    report(['listen', name], `listen.${other} has port ${port}, too: choose another port for one of the two`)
  if (collides(gateway, admin)) say('admin', 'gateway', admin.port)
  if (health === null) return
  if (collides(gateway, health)) say('health', 'gateway', health.port)
  if (collides(admin, health)) say('health', 'admin', health.port)
}

/** Caps that can never be reached, because another one or the system comes first. */
function checkCaps({ listen, upstream }: GatewayDocument, report: Report, mayOpen = descriptorLimit()): void {
  const warn = (key: keyof typeof listen, message: string): void => report(['listen', key], message, 'warning')
  for (const [ofAddress, inAll] of [
    ['max_connections_per_address', 'max_connections'],
    ['max_anonymous_per_address', 'max_anonymous'],
  ] as const)
    if (listen[inAll] > 0 && (listen[ofAddress] ?? 0) > listen[inAll])
      warn(
        ofAddress,
        `${ofAddress} is ${listen[ofAddress]}, more than ${inAll} (${listen[inAll]}), which comes first: write at most that, or 0 for no bound of one address`,
      )
  // Beside both ends of each request there are files, the operators' listener and the store.
  const least = listen.max_connections + upstream.connections + otherDescriptors
  if (mayOpen < least)
    warn(
      'max_connections',
      `max_connections is ${listen.max_connections}, which needs a limit of ${least} open files, and that of this process is ${mayOpen}. Raise it (ulimit -n, LimitNOFILE of systemd), or write at most ${Math.max(1, mayOpen - upstream.connections - otherDescriptors)}`,
    )
}

const otherDescriptors = 256

/** What other machines can reach needs a login, and should have TLS. */
function checkOperators({ listen, admin: { auth, url } }: CheckedConfig, report: Report): void {
  const { host, port } = listen.admin
  if (isLoopbackHost(host)) return
  const at = ['listen', 'admin']
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  if (auth === null)
    report(
      at,
      `other machines can reach ${address}, and nobody would have to sign in: set admin.auth (issuer, client_id, client_secret, roles), or write 127.0.0.1:${port}. For probes and monitoring alone set listen.health`,
    )
  else if (listen.adminTls === null && url?.startsWith('https:') !== true)
    report(
      at,
      `${address} has no TLS: tokens of operators cross the network unprotected, and browsers can sign in from this machine alone. Set listen.admin_tls, or admin.url to the https address of a proxy in front`,
      'warning',
    )
}

/** Only tokens of `admin.auth.issuer` sign in, so that a role for another issuer is nobody's. */
function checkRoles({ admin: { auth }, issuers }: CheckedConfig, written: GatewayDocument, report: Report): void {
  if (auth === null) return
  const { issuer } = auth.issuer
  const at = ['admin', 'auth']
  const twin = issuers.find((each) => each.issuer !== issuer && isAlike(each.issuer, issuer))
  if (twin !== undefined) report([...at, 'issuer'], twinsText(issuer, twin.issuer), 'warning')
  for (const [role, entries] of Object.entries(written.admin.auth?.roles ?? {}))
    for (const [place, entry] of (entries ?? []).entries())
      for (const [index, each] of (entry.issuer ?? []).entries())
        if (each !== issuer)
          report(
            [...at, 'roles', role, place, 'issuer', index],
            `nobody has this role: operators sign in through ${quoted(issuer)} alone. Remove issuer${didYouMean(each, [issuer]) === '' ? '' : ', or spell it so'}`,
          )
}

function checkUpstream(origin: string, report: Report): void {
  const { hostname } = new URL(origin)
  const warn = (message: string): void => report(['upstream', 'origin'], message, 'warning')
  if (/(^|\.)your-?company\b/.test(hostname))
    warn(`${quoted(origin)} is the placeholder of the sample: write the API domain of your company`)
  else if (hostname !== 'api.devin.ai' && /(^|\.)devin\.ai$/.test(hostname))
    warn(
      `${quoted(origin)} is ${hostname === 'app.devin.ai' ? 'the web application' : 'not the API'}: the API answers at https://api.devin.ai, or at the API domain of your company`,
    )
}

function checkIssuers(issuers: CheckedConfig['issuers'], report: Report): void {
  for (const [index, { issuer, jwksUri, audience, claims }] of issuers.entries()) {
    const at = ['issuers', index, 'issuer']
    const warn = (path: Path, message: string): void => report(['issuers', index, ...path], message, 'warning')
    const shared = sharedTenant.exec(issuer)?.[1]
    if (shared !== undefined)
      warn(
        ['issuer'],
        `tokens never say ${quoted(issuer)}: they name the tenant. Write its id in place of ${quoted(shared)}`,
      )
    else if (sampleName.test(issuer))
      warn(['issuer'], `${quoted(issuer)} is the placeholder of a sample: write the issuer of your company`)
    if (audience.some((each) => each.includes('*')))
      warn(
        ['audience'],
        'an audience is compared letter by letter with the aud claim, and "*" stands for itself: list the values one by one',
      )
    if (audience.some((each) => each !== each.trim()))
      warn(
        ['audience'],
        'an audience begins or ends with white space, which tokens would have to have as well: remove it',
      )
    for (const [name, claim] of Object.entries(claims))
      if (/^[$.]|\.\.|\.$|\[[^\]]*\]|^\//.test(claim))
        warn(
          ['claims', name],
          `${quoted(claim)} names no claim: write its name, or names with dots between them, like realm_access.roles`,
        )
    const twin = issuers.slice(0, index).find((other) => isAlike(other.issuer, issuer))
    if (twin !== undefined) report(at, twinsText(issuer, twin.issuer), 'warning')
    else if (issuer.endsWith('/') && !saysFinalSlash(issuer, jwksUri))
      report(
        at,
        `the final slash counts: the iss claim of tokens must end with one, too. Remove it where theirs does not`,
        'warning',
      )
  }
}

/** Whether two issuers differ in letter case or a final slash only. */
function isAlike(one: string, other: string): boolean {
  const [a, b] = [one, other].map((issuer) => issuer.replace(/\/+$/, '').toLowerCase())
  return a === b
}

function twinsText(issuer: string, twin: string): string {
  return `${quoted(issuer)} differs from the issuer ${quoted(twin)} in letter case or a final slash only: tokens say one of the two`
}

/** Addresses of Entra ID that stand for several tenants. */
const sharedTenant =
  /^https:\/\/(?:login\.microsoftonline\.com|sts\.windows\.net)\/(common|organizations|consumers|\{[^}]*\})/
/** What samples of vendors have in place of a name. */
const sampleName = /\byour-?_?(?:company|org|organization|domain|tenant|realm)\b/i

/** Auth0 ends its issuer with a slash, also under a domain of the customer. */
function saysFinalSlash(issuer: string, jwksUri: string | null): boolean {
  return new URL(issuer).hostname.endsWith('.auth0.com') || jwksUri === `${issuer}.well-known/jwks.json`
}

function isInside(inner: string, outer: string): boolean {
  return `${inner}/`.startsWith(`${outer}/`)
}

/** A shadow set that cannot be read is a warning: the gateway serves without it, and takes it when it appears. */
async function checkShadow(config: CheckedConfig, report: Report): Promise<void> {
  const { policiesDirectory: folder, shadowPoliciesDirectory: shadow } = config
  if (shadow === null) return
  const at = ['shadow_policies']
  if (shadow === folder)
    report(at, `${shadow} is the directory of the policies in force: name a copy of it that holds the next set`)
  else if (isInside(shadow, folder) || isInside(folder, shadow))
    report(
      at,
      `${shadow} and the policies in force at ${folder} lie in each other, and would read each other's files: put them side by side`,
    )
  else {
    const problem = await policyFolderProblem(shadow)
    if (problem !== null) report(at, `${shadow}: ${problem}`, 'warning')
  }
}

/** Why the folder of the policies cannot be read, with the nearest name beside it; null when it can. */
export async function policyFolderProblem(folder: string): Promise<string | null> {
  const found = await readdir(folder).catch((error: unknown) => whyUnreadable(error, 'folder'))
  if (typeof found !== 'string') return null
  const beside = await readdir(path.dirname(folder)).catch((): string[] => [])
  return `the policy directory cannot be read: ${found}${didYouMean(path.basename(folder), beside)}`
}

const standardStreams = ['stdout', 'stderr']
/** Words that other programs have for where lines go; here each would be a file. */
const otherTargets = /^(?:-|none|off|null|console|syslog|journald?|stream|file|true|false)$/i

/** Why lines cannot go to a target of records, as far as it can be seen without writing; null when they can. */
async function targetProblem(written: string, target: string): Promise<string | null> {
  if (standardStreams.includes(target)) return null
  const near =
    written === '-' || written === 'console' ? '; did you mean "stdout"?' : didYouMean(written, standardStreams)
  if (otherTargets.test(written) || (!/[./\\]/.test(written) && near !== ''))
    return `${quoted(written)} is a file of that name${near === '' ? ': write stdout, stderr, or the path of a file' : near}`
  if (/^[a-z][a-z0-9+]*:\/\//i.test(written))
    return `${quoted(written)} is an address, and lines go to a stream or a file: write stdout, stderr, or the path of a file`
  const found = await stat(target).catch((error: unknown) => whyUnreadable(error))
  if (typeof found !== 'string') {
    if (found.isDirectory())
      return `${target} is a folder: name a file in it, like ${path.join(written, 'decisions.ndjson')}`
    return (await mayWrite(target)) ? null : `this user may not write to ${target}`
  }
  if (written.endsWith('/'))
    return `${quoted(written)} is a folder: name a file in it, like ${path.join(written, 'decisions.ndjson')}`
  const parent = await existingParent(path.dirname(target))
  if (parent === null || !parent.isFolder)
    return `${target} cannot be created: ${parent?.place ?? path.dirname(target)} is no folder`
  // Missing folders are created at the start, perhaps by another user.
  if (parent.place !== path.dirname(target) || (await mayWrite(parent.place))) return null
  return `this user may not create ${path.basename(target)} in ${parent.place}`
}

async function mayWrite(place: string): Promise<boolean> {
  return await access(place, constants.W_OK).then(
    () => true,
    () => false,
  )
}

/** The nearest place above a path that exists. */
async function existingParent(place: string): Promise<{ place: string; isFolder: boolean } | null> {
  const found = await stat(place).catch(() => null)
  if (found !== null) return { place, isFolder: found.isDirectory() }
  const above = path.dirname(place)
  return above === place ? null : await existingParent(above)
}
