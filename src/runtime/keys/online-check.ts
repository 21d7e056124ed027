// Asks Devin who the keys of an inventory are, without a running gateway.

import type { Diagnostic } from '../../config/diagnostics.ts'
import type { Config } from '../../config/load.ts'
import { readAccount, readSelf } from '../../gateway/own-calls/key-reader.ts'
import { endingText } from '../../config/values/instants.ts'
import type { SelfAnswer } from '../../keys/identity/identity-watch.ts'
import { identityFault, type KeyIdentity } from '../../keys/identity/self.ts'
import type { KeyHandle } from '../../keys/key.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { openLoneDevin } from './lone-devin.ts'

/** One key of the inventory and what Devin says of it. */
export interface CheckedKey {
  readonly id: string
  /** `fine`, or why it is not; `absent`: there is no value here; `unanswered`: Devin did not say who it is. */
  readonly result: 'fine' | 'quarantined' | 'rejected' | 'absent' | 'unanswered'
  readonly identity: KeyIdentity | null
  /** When Devin ends it, milliseconds since the epoch, where that is known. */
  readonly endsAtMs: number | null
  readonly remarks: readonly CheckedKeyRemark[]
}

/** What is to be said of a key. */
export interface CheckedKeyRemark {
  readonly severity: Diagnostic['severity']
  /** The end of a sentence that begins with the key. */
  readonly text: string
  /** What to do, as a sentence, where that is known. */
  readonly action: string | null
  /** Both, as a diagnostic says it. */
  readonly message: string
}

/** Asks for every key, one after the other. The diagnostics are errors, and warnings of keys that end soon. */
export async function checkKeysOnline(
  config: Pick<Config, 'upstream'>,
  policy: PolicySet,
  env: Readonly<Record<string, string | undefined>>,
  now: () => number,
): Promise<{ readonly keys: readonly CheckedKey[]; readonly diagnostics: readonly Diagnostic[] }> {
  const { calls, close, keyring, secrets } = await openLoneDevin(config, policy, env, now)
  const found = new Map<string, CheckedKey>()
  keyring.quarantineBy((id) => found.get(id)?.result === 'quarantined')
  try {
    let away: SelfAnswer | null = null
    for (const handle of policy.keys) {
      const version = keyring.versions().find((each) => each.handle === handle)
      const answer: SelfAnswer | null = version === undefined ? null : (away ?? (await readSelf(calls, version)))
      // Where Devin does not answer one key, asking for the others would only take time.
      if (answer?.kind === 'away') away = answer
      const missing =
        secrets.away.get(handle.id)?.message ?? secrets.unresolved.find((each) => each.handle === handle)?.message
      found.set(handle.id, {
        ...checked(handle, answer ?? missing ?? ''),
        id: handle.id,
        endsAtMs: null,
      })
    }
    // Only now it is certain which keys may read when others end.
    for (const handle of policy.keys) {
      const fine = found.get(handle.id)
      if (fine?.result !== 'fine' || fine.identity === null) continue
      const { endsAtMs } = await readAccount(calls, fine.identity, now())
      const ending = endsAtMs === null ? null : endingText(endsAtMs, now())
      found.set(handle.id, { ...fine, endsAtMs, remarks: ending === null ? [] : [endingRemark(ending)] })
    }
  } finally {
    await close()
  }
  const diagnostics = policy.keys.flatMap(({ id, source }) =>
    (found.get(id)?.remarks ?? []).map(({ severity, message }): Diagnostic => {
      return { ...source, column: 1, severity, message: `key "${id}" ${message}` }
    }),
  )
  return { keys: [...found.values()], diagnostics }
}

function endingRemark(ending: string): CheckedKeyRemark {
  const text = `${ending} at Devin`
  return { severity: 'warning', text, action: 'Rotate it.', message: `${text}: rotate it` }
}

/** `answer`: a text where there is no value to ask with. */
function checked(handle: KeyHandle, answer: SelfAnswer | string): Pick<CheckedKey, 'result' | 'identity' | 'remarks'> {
  const found = (result: CheckedKey['result'], text: string, action: string | null, message = text) =>
    ({ result, identity: null, remarks: [{ severity: 'error', text, action, message }] }) as const
  if (typeof answer === 'string')
    return found('absent', `cannot be asked who it is: ${answer.replace(`key "${handle.id}": `, '')}`, null)
  if (answer.kind === 'rejected') {
    const text = 'is rejected by Devin (401): it was revoked, has ended, or belongs to another Devin'
    const action = 'Put a new one in its place'
    return found('rejected', text, `${action}.`, `${text}. ${action}`)
  }
  if (answer.kind !== 'identity') return found('unanswered', `could not be checked: ${answer.why}`, null)
  const { identity } = answer
  const fault = identityFault(handle, identity)
  if (fault === null) return { result: 'fine', identity, remarks: [] }
  const text = `${fault.text}. A start would quarantine it`
  return { ...found('quarantined', text, fault.action, `${text}. ${fault.action}`), identity }
}
