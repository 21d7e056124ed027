// Every test that runs a gateway is a test of replays as well: what it recorded, decided again under the same policies, is the same.

import { readFile } from 'node:fs/promises'
import { loadCatalogue } from '../../src/catalogue/load.ts'
import type { Config } from '../../src/config/load.ts'
import { loadPolicies } from '../../src/policy/loading/load.ts'
import { outcomeOf } from '../../src/policy/replay/outcome.ts'
import { isRecordedDecision } from '../../src/policy/replay/recorded-decision.ts'

/** Throws where a decision comes out otherwise. Decisions under policies that were replaced meanwhile are left out. */
export async function replayAll(config: Config, env: Readonly<Record<string, string>>, file: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => '')
  if (text === '') return
  const { catalogue } = await loadCatalogue(config.catalogue)
  const loaded = await loadPolicies({
    directory: config.policiesDirectory,
    catalogue,
    sources: { env, origin: config.upstream.origin },
    secrets: 'reported',
    tests: 'ignored',
    connections: null,
    now: Date.now,
  }).catch(() => null)
  if (loaded === null) return
  for (const line of new Set(text.split('\n').slice(0, -1))) {
    const record: unknown = JSON.parse(line)
    if (!isRecordedDecision(record) || record.policy_revision !== loaded.policy.revision) continue
    const outcome = outcomeOf(loaded.policy, record)
    // Long texts and lists are not recorded, and a rule that compares them cannot be decided again.
    if (outcome.kind !== 'same' && outcome.kind !== 'not-replayable')
      throw new Error(
        `decided again, a recorded decision comes out otherwise: ${outcome.kind}, ${outcome.from} → ${outcome.to}: ${line}`,
      )
  }
}
