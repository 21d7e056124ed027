// A secret in an environment variable. It cannot change while the process runs.

import { didYouMean } from '../../config/nearest.ts'
import { SourceFault, type SecretSource } from './source.ts'

/** The source for one variable of `env`. */
export function envSource(name: string, env: Readonly<Record<string, string | undefined>>): SecretSource {
  const place = `the environment variable ${name}`
  return {
    place,
    read() {
      const text = Object.hasOwn(env, name) ? env[name] : undefined
      if (text !== undefined) return Promise.resolve({ text, version: null })
      const near = didYouMean(name, Object.keys(env))
      return Promise.reject(new SourceFault('absent', `${place} is not set: it should hold the key${near}`))
    },
    write: null,
  }
}
