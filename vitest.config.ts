import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// The threads that a gateway starts take their modules compiled, as those of the command do, and from the same place. Workers
// inherit it.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/devin-gateway', import.meta.url))

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: process.env['GATEWAY_TEST_SEED'] === undefined ? [] : ['test/support/fixed-seed.ts'],
    // The suites talk over real sockets to real servers; a slow machine gets time, and nothing asserts on it.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 10_000 } },
    pool: 'forks',
    // A worker runs many files: to load the gateway anew for each took a fifth of the time. Nothing of ours keeps state in
    // modules, and nothing is mocked.
    isolate: false,
    // Several processes share the cores, where threads that help to collect cost more than they give.
    execArgv: ['--single-threaded-gc'],
    // More than cores: much of the time goes by waiting for leases, timeouts and starts.
    maxWorkers: 4,
  },
})
