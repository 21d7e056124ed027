// The report on keys of several workers, each of which watches its own uses.

import { expect, test } from 'vitest'
import { mergeOf } from '../../src/workers/merged-routes.ts'
import { mergeKeyReports } from '../../src/workers/merged-key-report.ts'
import { expectDocumentedValue } from '../support/admin-api.ts'

const finding = (key: string, kind: string, unused: readonly string[] = [], urgency = 'later') => ({
  key,
  finding: kind,
  urgency,
  what: `Key "${key}" is ${kind}${unused.length === 0 ? '' : `: ${unused.join(', ')}`}.`,
  do: 'Change it.',
  source: 'keys.yaml:1',
  unused,
})
const report = (findings: readonly object[], more: object = {}) => ({
  state: 'known',
  revision: 'r',
  watched_since: '2026-01-01T00:00:00.000Z',
  unused_told_from: '2026-01-02T00:00:00.000Z',
  findings,
  keys: [],
  ...more,
})
const told = (...reports: Parameters<typeof mergeKeyReports>[0][number][]) => {
  const merged = mergeKeyReports(reports)
  expectDocumentedValue('KeyReport', merged)
  return merged['findings']
}
const never = finding('a', 'never-used')

test('what all say is told once, and what one says is told', () => {
  const [wide, rejected] = [finding('b', 'no-team'), finding('c', 'quarantined', [], 'now')]
  expect(told(report([wide]), report([rejected, wide]))).toEqual([rejected, wide])
})

test('a key is unused when no worker has used it', () => {
  expect(told(report([never]), report([never]))).toEqual([never])
  expect(told(report([never]), report([]))).toEqual([])
})

test('a permission is unused when no worker has used it, and the sentence names those that are left', () => {
  const one = finding('a', 'unused-permission', ['X', 'Y', 'Z'])
  const other = finding('a', 'unused-permission', ['W', 'Y', 'Z'])
  const both = { ...one, what: 'Key "a" is unused-permission: Y, Z.', unused: ['Y', 'Z'] }
  expect(told(report([one]), report([other]))).toEqual([both])
  expect(told(report([never]), report([one]))).toEqual([one])
  expect(told(report([one]), report([finding('a', 'unused-permission', ['V'])]))).toEqual([])
  expect(told(report([one]), report([]))).toEqual([])
})

test('is known when all know it, and watched since the last of them', () => {
  const late = { watched_since: '2026-01-05T00:00:00.000Z', unused_told_from: '2026-01-06T00:00:00.000Z' }
  const early = report([], { ...late, state: 'deciding', revision: null })
  expect(mergeKeyReports([early, report([finding('b', 'no-team')])])).toMatchObject({
    ...late,
    state: 'deciding',
    revision: 'r',
  })
  expect(mergeKeyReports([early, early])).toMatchObject({ state: 'deciding', revision: null })
  expect(mergeKeyReports([early, report([], { state: 'failed' })])['state']).toBe('failed')
})

test('the route is merged', () => {
  expect(mergeOf('GET', '/api/keys/report', '/api/keys/report')).toBe(mergeKeyReports)
})
