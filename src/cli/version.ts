// `--version`: which version of the gateway this is, made from which commit, and the Node.js that runs it.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { packageRoot, packageVersion } from './setup.ts'

/** One line for people, or an object as JSON. */
export function versionText(env: Readonly<Record<string, string | undefined>>, json: boolean): string {
  const found = versionOf(env)
  if (json) return JSON.stringify(found)
  return `devin-gateway ${found.version} (commit ${found.commit ?? 'unknown'}, Node.js ${found.node})`
}

/** Version, commit and Node.js of this command. */
export function versionOf(env: Readonly<Record<string, string | undefined>>) {
  return { version: packageVersion(), commit: commitOf(env), node: process.versions.node }
}

/** Null where nothing says it. An image has it in its environment, a package in a file, a checkout in Git. */
function commitOf(env: Readonly<Record<string, string | undefined>>): string | null {
  const named = env['GATEWAY_COMMIT'] ?? ''
  if (named !== '') return named
  const file = resolve(packageRoot, 'dist/commit.txt')
  try {
    // Without this look Git would answer for a repository around the package.
    if (existsSync(resolve(packageRoot, '.git')))
      return execFileSync('git', ['-C', packageRoot, 'rev-parse', 'HEAD'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim()
    return readFileSync(file, 'utf8').trim()
  } catch {
    return null
  }
}
