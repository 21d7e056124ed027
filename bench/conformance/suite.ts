// The suite itself, from a checkout: its server as a process, its client and its verdicts as modules. No code of it is kept
// here.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { freePorts } from '../../test/support/free-ports.ts'

/** What the suite has to say about one test. */
export interface TestResult {
  readonly id: string
  readonly group: string
  readonly kind: 'required' | 'optimal' | 'check'
  /** `pass` and `yes`, or why not: `fail`, `optional_fail`, `no`, `setup_fail`, `dependency_fail`, `harness_fail`. */
  readonly verdict: string
  readonly message: string | null
}

export interface Suite {
  /** Where its server listens. */
  readonly port: number
  /** Runs every test against a base address, or one and those that it depends on. Once. */
  run(base: string, only: string | null): Promise<readonly TestResult[]>
  close(): void
}

interface SuiteTest {
  readonly id: string
  readonly kind?: 'required' | 'optimal' | 'check'
  readonly browser_only?: boolean
  readonly depends_on?: readonly string[]
}
interface SuiteGroup {
  readonly id: string
  readonly tests: readonly SuiteTest[]
}
type Outcome = true | readonly [name: string, message: string]

/** Starts the server of a checkout. */
export async function openSuite(checkout: string): Promise<Suite> {
  const [port = 0] = await freePorts(1)
  const server = spawn(process.execPath, ['test-engine/server/server.mjs'], {
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      npm_config_protocol: 'http',
      npm_config_port: String(port),
      npm_config_pidfile: join(tmpdir(), `cache-tests-${process.pid}.pid`),
    },
  })
  // Its client wants undici where it looks at interim answers; ours will do.
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'undici' ? next(specifier, { ...context, parentURL: import.meta.url }) : next(specifier, context),
  })
  await once(server.stdout, 'data')
  server.stdout.resume()
  const load = async <T>(file: string): Promise<T> =>
    // What a checkout's files export is the suite's affair; the types here say what is used of it.
    (await import(pathToFileURL(join(checkout, file)).href)) as T
  const { default: groups } = await load<{ default: readonly SuiteGroup[] }>('tests/index.mjs')
  const client = await load<{
    runTests(groups: readonly SuiteGroup[], browserCache: boolean, base: string, atOnce: number): Promise<void>
    getResults(): Readonly<Record<string, Outcome>>
  }>('test-engine/client/runner.mjs')
  const judge = await load<{
    resultTypes: Readonly<Record<string, unknown>>
    determineTestResult(groups: readonly SuiteGroup[], id: string, results: Readonly<Record<string, Outcome>>): unknown
  }>('test-engine/lib/results.mjs')
  return {
    port,
    async run(base, only) {
      const chosen = only === null ? groups : withDependencies(groups, only)
      await client.runTests(chosen, false, base, 25)
      const outcomes = client.getResults()
      const names = new Map(Object.entries(judge.resultTypes).map(([name, type]) => [type, name]))
      return chosen.flatMap((group) =>
        group.tests
          .filter((test) => test.browser_only !== true)
          .map(({ id, kind = 'required' }): TestResult => {
            const outcome = outcomes[id]
            return {
              id,
              group: group.id,
              kind,
              verdict: names.get(judge.determineTestResult(groups, id, outcomes)) ?? 'unknown',
              message: typeof outcome === 'object' ? outcome[1] : null,
            }
          }),
      )
    },
    close: () => void server.kill(),
  }
}

function withDependencies(groups: readonly SuiteGroup[], id: string): SuiteGroup[] {
  const tests = new Map(groups.flatMap((group) => group.tests).map((test) => [test.id, test]))
  const wanted = new Set([id])
  for (const name of wanted) for (const needed of tests.get(name)?.depends_on ?? []) wanted.add(needed)
  return groups.map((group) => ({ ...group, tests: group.tests.filter((test) => wanted.has(test.id)) }))
}
