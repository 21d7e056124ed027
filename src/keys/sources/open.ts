// Opens what references name. Sources that ask a program or a server are limited in how much they are asked at once.

import type { LocalReference, SecretReference } from '../../config/secret-schema.ts'
import { envSource } from './env-source.ts'
import { execSource } from './exec-source.ts'
import { fileSource } from './file-source.ts'
import { SourceFault, type SecretSource } from './source.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** A reference to a secret that is kept elsewhere: a program or a server has to be asked. */
export type RemoteReference = Exclude<SecretReference, LocalReference>

export type RemoteSources = ReturnType<typeof createRemoteSources>

/** Whether a secret is in a file or a variable of this machine. */
export function isLocal(reference: SecretReference): reference is LocalReference {
  return 'env' in reference || 'file' in reference
}

/** The source of a secret that this machine holds. */
export function localSource(reference: LocalReference, env: Environment): SecretSource {
  return 'env' in reference ? envSource(reference.env, env) : fileSource(reference.file)
}

/** So many readings of one server, or so many programs, are under way at once. */
const mostAtOnce = 8

/** Opens sources outside this process. Equal references share one source, and sources of one server its session. */
export function createRemoteSources({ env }: { readonly env: Environment }) {
  const opened = new Map<string, SecretSource>()
  const turns = new Map<string, Turns>()

  function turnsOf(group: string): Turns {
    const known = turns.get(group) ?? new Turns(mostAtOnce)
    turns.set(group, known)
    return known
  }

  function openNew(reference: RemoteReference): SecretSource {
    return inTurn(execSource(reference.exec, env), turnsOf('exec'))
  }

  return {
    of(reference: RemoteReference): SecretSource {
      const name = JSON.stringify(reference)
      const source = opened.get(name) ?? openNew(reference)
      opened.set(name, source)
      return source
    },
  }
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
