// The public suite http-tests/cache-tests against the cache: through the whole gateway, or through the module alone.
//
//   git clone https://github.com/http-tests/cache-tests
//   node bench/conformance/run.ts cache-tests [--through gateway|module] [--only ID] [--json FILE]
//
// Exits 1 when a goal is missed.

import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startGatewayUnderTest } from './gateway-under-test.ts'
import { startModuleUnderTest } from './module-under-test.ts'
import { report } from './report.ts'
import { openSuite } from './suite.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { through: { type: 'string', default: 'gateway' }, only: { type: 'string' }, json: { type: 'string' } },
})
const [checkout] = positionals
if (checkout === undefined || (values.through !== 'gateway' && values.through !== 'module')) {
  process.stderr.write(
    'usage: node bench/conformance/run.ts CHECKOUT [--through gateway|module] [--only ID] [--json FILE]\n',
  )
  process.exit(2)
}

const suite = await openSuite(resolve(checkout))
const start = values.through === 'gateway' ? startGatewayUnderTest : startModuleUnderTest
const subject = await start(suite.port)
try {
  const results = await suite.run(`http://127.0.0.1:${subject.port}`, values.only ?? null)
  const { text, passed } = report(results, values.through)
  process.stdout.write(text)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`)
  process.exitCode = passed ? 0 : 1
} finally {
  await subject.close()
  suite.close()
}
