// Several gateways, each a process of its own, with the same policies and one store, in front of one recording upstream.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startGatewayProcess, type StartedGateway } from './command.ts'
import { startIssuer } from './issuer.ts'
import { paymentsGroups, usualKeys, usualPolicies } from './start-gateway.ts'
import { startUpstream, type RecordingUpstream } from './upstream.ts'
import type { StoreServer } from './valkey.ts'

export interface InstancesOptions {
  readonly count: number
  readonly store: Pick<StoreServer, 'address'>
  readonly policies?: Readonly<Record<string, string>>
  /** Lines that are added at the end of every configuration. */
  readonly config?: string
  /** Further settings of the store: `, prefix: x`. */
  readonly storeSettings?: string
  readonly env?: Readonly<Record<string, string>>
  /** Changes the configuration of one of them. */
  readonly configOf?: (instance: number, text: string) => string
}

export interface Instances {
  readonly upstream: RecordingUpstream
  readonly processes: readonly StartedGateway[]
  readonly configFiles: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** A call of the payments team at one of them. */
  call(instance: number, path: string, init?: RequestInit): Promise<Response>
  /** Of the payments team. */
  readonly token: string
  /** A page of one operators' listener. */
  admin(instance: number, path: string): Promise<Response>
  close(): Promise<void>
}

export async function startInstances(options: InstancesOptions): Promise<Instances> {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-instances-'))
  const upstream = await startUpstream()
  const issuer = await startIssuer()
  for (const [name, text] of Object.entries({ ...usualPolicies, ...options.policies })) {
    const file = join(directory, 'policies', name)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  }
  const configFiles = await Promise.all(
    Array.from({ length: options.count }, async (_, index) => {
      const file = join(directory, `gateway-${index}.yaml`)
      const { configOf = (_index, text) => text } = options
      const text = `listen: { gateway: "127.0.0.1:0", admin: "127.0.0.1:0" }
upstream: { origin: "${upstream.origin}", connections: 1000 }
issuers: [{ issuer: "${issuer.issuer}", audience: devin-gateway, jwks_uri: "${issuer.jwksUri}" }]
policies: policies
store: { nodes: "${options.store.address}", timeout: 250ms${options.storeSettings ?? ''} }
records: { access: access-${index}.ndjson, decisions: decisions-${index}.ndjson, audit: audit-${index}.ndjson }
shutdown: { delay: 0s, deadline: 5s }
${options.config ?? ''}
`
      await writeFile(file, configOf(index, text))
      return file
    }),
  )
  const env = { ...usualKeys, ...options.env }
  const processes = await Promise.all(configFiles.map((file) => startGatewayProcess(file, { env })))
  const token = await issuer.sign({ sub: 'ann', groups: paymentsGroups })
  const at = (port: number | undefined, path: string): string => `http://127.0.0.1:${port}${path}`
  return {
    upstream,
    processes,
    configFiles,
    env,
    token,
    call: (instance, path, { headers, ...init } = {}) =>
      fetch(at(processes[instance]?.port, path), {
        ...init,
        headers: { authorization: `Bearer ${token}`, ...(headers as Record<string, string> | undefined) },
      }),
    admin: (instance, path) => fetch(at(processes[instance]?.adminPort, path)),
    async close() {
      for (const { child } of processes) child.kill('SIGCONT')
      await Promise.all(processes.map((each) => each.kill()))
      await upstream.close()
      await issuer.stop()
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
