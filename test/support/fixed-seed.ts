// Loaded before each test file where GATEWAY_TEST_SEED is set: properties then try the same cases in every run, so that a run
// of the CI fails for what was changed. Elsewhere they try new ones each time.

import * as fc from 'fast-check'

const seed = Number(process.env['GATEWAY_TEST_SEED'])
if (!Number.isInteger(seed)) throw new TypeError('GATEWAY_TEST_SEED must be a whole number')
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed })
