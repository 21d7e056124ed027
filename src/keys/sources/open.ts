// Opens what references name. Sources that ask a program or a server are limited in how much they are asked at once.

import type { LocalReference, SecretReference, VaultReference } from '../../config/secret-schema.ts'
import { awsSource } from './cloud/aws-source.ts'
import { azureSource } from './cloud/azure-source.ts'
import { googleSource } from './cloud/google-source.ts'
import { execSource } from './exec-source.ts'
import { SourceFault, type SecretSource } from './source.ts'
import { createVaultClient, type VaultClient } from './vault/vault-client.ts'
import { createVaultSession, type VaultSession } from './vault/vault-session.ts'
import { vaultSource } from './vault/vault-source.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** A reference to a secret that is kept elsewhere: a program or a server has to be asked. */
export type RemoteReference = Exclude<SecretReference, LocalReference>

export type RemoteSources = ReturnType<typeof createRemoteSources>

/** So many readings of one server, or so many programs, are under way at once. */
const mostAtOnce = 8

export interface RemoteSourcesOptions {
  readonly env: Environment
  /** Monotonic clock, milliseconds. */
  readonly monotonic: () => number
}

/** Opens sources outside this process. Equal references share one source, and sources of one server its session. */
export function createRemoteSources({ env, monotonic }: RemoteSourcesOptions) {
  const opened = new Map<string, SecretSource>()
  const turns = new Map<string, Turns>()
  const vaults = new Map<string, Vault>()

  function turnsOf(group: string): Turns {
    return rememberIn(turns, group, () => new Turns(mostAtOnce))
  }

  function vaultOf({ address, namespace, ca, auth }: VaultReference): Vault {
    return rememberIn(vaults, JSON.stringify([address, namespace, ca, auth]), () => {
      const client = createVaultClient({ address, namespace, ca })
      return { client, session: createVaultSession({ client, auth, env, monotonic }) }
    })
  }

  function openNew(reference: RemoteReference): SecretSource {
    if ('exec' in reference) return inTurn(execSource(reference.exec, env), turnsOf('exec'))
    if ('aws' in reference) return inTurn(awsSource(reference.aws), turnsOf('aws'))
    if ('google' in reference) return inTurn(googleSource(reference.google), turnsOf('google'))
    if ('azure' in reference) return inTurn(azureSource(reference.azure), turnsOf(`azure ${reference.azure.vault}`))
    const { client, session } = vaultOf(reference.vault)
    return inTurn(vaultSource(reference.vault, client, session), turnsOf(`vault ${reference.vault.address}`))
  }

  return {
    of: (reference: RemoteReference): SecretSource =>
      rememberIn(opened, JSON.stringify(reference), () => openNew(reference)),
    /** Ends all sessions. */
    async close(): Promise<void> {
      await Promise.all(
        [...vaults.values()].map(async ({ client, session }) => {
          await session.close()
          await client.close()
        }),
      )
    },
  }
}

interface Vault {
  readonly client: VaultClient
  readonly session: VaultSession
}

function rememberIn<Value>(map: Map<string, Value>, name: string, make: () => Value): Value {
  const known = map.get(name) ?? make()
  map.set(name, known)
  return known
}

function inTurn(source: SecretSource, turns: Turns): SecretSource {
  const { place, write } = source
  return {
    place,
    read: (signal) => turns.run(place, signal, () => source.read(signal)),
    write: write === null ? null : (text, signal) => turns.run(place, signal, () => write(text, signal)),
  }
}

/** Lets so many run at once; the others wait for their turn, or leave when their signal says so. */
class Turns {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#free = most
  }

  async run<T>(place: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#turn(place, signal)
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free += 1
      else next()
    }
  }

  #turn(place: string, signal: AbortSignal): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1)
        reject(new SourceFault('unavailable', `${place} was not asked in time: earlier questions are not answered yet`))
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(go)
    })
  }
}
