// What a measurement was made on: the class of the machine and the versions, nothing that names the machine.

import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os'

export interface Environment {
  readonly machine: string
  readonly system: string
  readonly runtime: string
  readonly packages: string
}

/** Describes this machine. */
export function describeEnvironment(): Environment {
  const packages = ['fastify', '@fastify/http-proxy', '@fastify/reply-from', 'undici', 'jose', 'oidc-provider']
  return {
    machine: `${availableParallelism()} cores of ${cpus()[0]?.model.trim() ?? 'an unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${distribution() ?? platform()}, kernel ${release().split('-', 1)[0]}`,
    runtime: `Node.js ${process.versions.node}`,
    packages: packages.map((name) => `${name} ${installedVersion(name) ?? '?'}`).join(', '),
  }
}

function installedVersion(name: string): string | null {
  const text = textOf(new URL(`../node_modules/${name}/package.json`, import.meta.url))
  // Every manifest of an installed package has a version.
  return text === null ? null : (JSON.parse(text) as { version: string }).version
}

function distribution(): string | null {
  return /^PRETTY_NAME="(.*)"$/m.exec(textOf('/etc/os-release') ?? '')?.[1] ?? null
}

function textOf(file: string | URL): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
