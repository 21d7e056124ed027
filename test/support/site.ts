// A folder with a configuration and policies, for everything that runs the gateway or its command as a process of its own.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { usualPolicies } from './start-gateway.ts'

export interface SiteOptions {
  /** Default: nobody listens there. */
  readonly upstream?: string
  /** Further members of `upstream`: `timeouts: { headers: 1s }`. */
  readonly upstreamSettings?: string
  readonly issuer?: { readonly issuer: string; readonly jwksUri: string }
  /** Replace or add to the usual ones; null leaves one out. */
  readonly policies?: Readonly<Record<string, string | null>>
  /** Lines that are added at the end of the configuration. */
  readonly config?: string
  readonly listen?: string
  readonly shutdown?: string
  readonly audit?: string
}

export interface Site {
  readonly directory: string
  readonly configFile: string
  writePolicy(name: string, text: string): Promise<void>
  remove(): Promise<void>
}

export async function createSite(options: SiteOptions = {}): Promise<Site> {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-site-'))
  const {
    upstream = 'http://127.0.0.1:9',
    issuer = { issuer: 'https://sso.test', jwksUri: 'http://127.0.0.1:9/jwks' },
  } = options
  const put = async (name: string, text: string): Promise<void> => {
    const file = join(directory, 'policies', name)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  }
  for (const [name, text] of Object.entries({ ...usualPolicies, ...options.policies }))
    if (text !== null) await put(name, text)
  const configFile = join(directory, 'gateway.yaml')
  await writeFile(
    configFile,
    `listen: ${options.listen ?? '{ gateway: "127.0.0.1:0", admin: "127.0.0.1:0" }'}
upstream: { origin: "${upstream}"${options.upstreamSettings === undefined ? '' : `, ${options.upstreamSettings}`} }
issuers:
  - issuer: ${issuer.issuer}
    audience: devin-gateway
    jwks_uri: ${issuer.jwksUri}
policies: policies
records: { access: access.ndjson, decisions: decisions.ndjson, audit: ${options.audit ?? 'audit.ndjson'} }
shutdown: ${options.shutdown ?? '{ delay: 0s, deadline: 5s }'}
${options.config ?? ''}
`,
  )
  return {
    directory,
    configFile,
    writePolicy: put,
    remove: () => rm(directory, { recursive: true, force: true, maxRetries: 5 }),
  }
}
