// Devin as a command asks it without a running gateway: the keys of an inventory with their values, and calls with them.

import type { Config } from '../../config/load.ts'
import { createBodyMemory } from '../../gateway/bodies/memory.ts'
import { createOwnCalls } from '../../gateway/own-calls/own-calls.ts'
import { createLeakGuard } from '../../gateway/responses/leak-guard.ts'
import { StreamTurns } from '../../gateway/stream-turns.ts'
import { createUpstream } from '../../gateway/upstream/upstream.ts'
import { createKeyring } from '../../keys/keyring.ts'
import { resolveSecrets, type SecretSources } from '../../keys/reading.ts'
import { createRemoteSources } from '../../keys/sources/open.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'

/** Reads the value of every key. `close` ends connections and sessions. */
export async function openLoneDevin(
  { upstream: settings }: Pick<Config, 'upstream'>,
  policy: PolicySet,
  env: Readonly<Record<string, string | undefined>>,
  now: () => number,
) {
  const monotonic = (): number => performance.now()
  const quiet = (): void => {}
  const guard = createLeakGuard()
  const remote = createRemoteSources({ env, monotonic })
  const sources: SecretSources = {
    env,
    origin: settings.origin,
    remote,
    protect: (value) => guard.protect(value),
  }
  const secrets = await resolveSecrets(policy.keys, sources)
  const keyring = createKeyring({ sources, now, monotonic, onChange: quiet })
  keyring.adopt(policy.keys, secrets)
  const upstream = createUpstream({
    settings: { ...settings, maxWaitMs: settings.timeouts.headersMs },
    maxBodyBytes: 0,
    bodyMemory: createBodyMemory(0),
    bodyMs: settings.timeouts.bodyIdleMs,
    guard,
    turns: new StreamTurns((goOn) => setImmediate(goOn)),
    events: {
      now: monotonic,
      accepted: quiet,
      rejected: () => Promise.resolve(),
      throttled: quiet,
      leaked: quiet,
      trouble: quiet,
      held: quiet,
      shareReached: quiet,
      breaker: quiet,
      dated: quiet,
      defect: quiet,
    },
  })
  const calls = createOwnCalls({
    policy: () => policy,
    keyring,
    upstream,
    now,
    monotonic,
    record: quiet,
    onTrouble: quiet,
  })
  return {
    sources,
    secrets,
    keyring,
    calls,
    close: async (): Promise<void> => void (await Promise.all([upstream.close(), remote.close()])),
  }
}
