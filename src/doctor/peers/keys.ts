// The keys of the inventory, asked who they are, as `check --online` asks them.

import type { KeyView } from '../../admin/views.ts'
import type { Config } from '../../config/load.ts'
import type { SecretReference } from '../../config/secret-schema.ts'
import { plural } from '../../config/plural.ts'
import { describeIdentity } from '../../keys/identity/self.ts'
import type { PolicySet } from '../../policy/model/policy-set.ts'
import { checkKeysOnline, type CheckedKey } from '../../runtime/keys/online-check.ts'
import type { Examination } from '../examination.ts'
import type { Findings, FindingPlace } from '../finding.ts'

interface KeyParts {
  readonly config: Pick<Config, 'upstream'>
  readonly policy: PolicySet
  readonly env: Readonly<Record<string, string | undefined>>
  readonly withinMs: number
  /** The keys as the running gateway shows them; null where it does not. */
  readonly running: Promise<readonly KeyView[] | null>
}

/** A call for each key takes its time. */
const eachKeyMs = 500
/** As long as a server that keeps a key may take, at its reading. */
const serverMs = 10_000

/** How long the reading of all values may take; they are read side by side. */
function readingMs(keys: readonly { readonly secret: SecretReference }[]): number {
  const each = keys.map(({ secret }) =>
    'exec' in secret ? secret.exec.timeoutMs : 'env' in secret || 'file' in secret ? 0 : serverMs,
  )
  return Math.max(0, ...each)
}

export function keyExamination({ config, policy, env, withinMs, running }: KeyParts): Examination {
  const { upstream } = config
  const { timeouts } = upstream
  // One that gives no answer has to say so before the time is over.
  const callMs = Math.max(1, withinMs - 1_000)
  const quick = {
    ...upstream,
    timeouts: {
      connectMs: Math.min(timeouts.connectMs, callMs),
      headersMs: Math.min(timeouts.headersMs, callMs),
      bodyIdleMs: Math.min(timeouts.bodyIdleMs, callMs),
    },
  }
  return {
    area: 'key',
    about: null,
    moreMs: policy.keys.length * eachKeyMs + readingMs(policy.keys),
    async examine(found) {
      const { keys } = await checkKeysOnline({ upstream: quick }, policy, env, Date.now)
      const views = await running
      addUnanswered(found, keys)
      for (const key of keys.filter(({ result }) => result !== 'unanswered')) {
        const source = policy.keys.find(({ id }) => id === key.id)?.source
        const place = source === undefined ? null : { ...source, column: 1 }
        addKey(found, key, views?.find(({ id }) => id === key.id) ?? null, place)
      }
    },
  }
}

const withItsEnvironment = 'Run doctor with the environment and the user of the service, or put the value in its place.'
const doFor: Readonly<Record<CheckedKey['result'], string>> = {
  fine: '',
  quarantined: '',
  rejected: 'Put a new one in its place.',
  absent: withItsEnvironment,
  unanswered: 'Look at what is said about the Devin API, then run doctor again.',
}

/** Those that Devin did not answer, usually all for one reason. */
function addUnanswered(found: Findings, keys: readonly CheckedKey[]): void {
  const reasons = Map.groupBy(
    keys.filter(({ result }) => result === 'unanswered'),
    ({ remarks }) => remarks[0]?.text ?? '',
  )
  for (const [text, some] of reasons) {
    const names = some.map(({ id }) => `"${id}"`).join(', ')
    const message = `${plural(some.length, 'The key')} ${names} ${text.replace(/\.$/, '')}.`
    found.error('unanswered', message, doFor.unanswered, some.length === 1 ? (some[0]?.id ?? null) : null)
  }
}

function addKey(found: Findings, key: CheckedKey, view: KeyView | null, place: FindingPlace | null): void {
  const { id, result, identity, remarks } = key
  // The value is for the gateway, and need not be readable to whoever runs the command.
  if (result === 'absent' && view?.identity !== undefined) {
    addSeen(found, view, place)
    return
  }
  if (remarks.length === 0 && identity !== null) found.ok('identity', `${id} is ${describeIdentity(identity)}`, id)
  for (const { severity, text, action } of remarks) {
    const add = severity === 'error' ? found.error.bind(found) : found.warning.bind(found)
    const what = severity === 'error' ? result : 'ends'
    add(what, `The key "${id}" ${text}.`, action ?? doFor[result], id, place)
  }
}

const stateWords: Readonly<Record<string, readonly [text: string, action: string]>> = {
  unresolved: ['has no value in the running gateway', 'Put the value where the inventory says, then reload.'],
  rejected: ['is rejected by Devin (401)', doFor.rejected],
  'set-aside': ['was rejected by Devin three times, and is set aside', doFor.rejected],
  expired: ['has ended, by what the inventory says', 'Renew it, and write its new end into `expires`.'],
  blocked: ['is blocked by an operator', 'See devin-gateway blocks; devin-gateway unblock key ID ends it.'],
}

/** What the running gateway knows of a key that cannot be read here. */
function addSeen(
  found: Findings,
  { id, state, identity, source_error: trouble }: KeyView,
  place: FindingPlace | null,
): void {
  const fault = identity?.fault ?? null
  const words = stateWords[state]
  if (fault !== null)
    found.error('quarantined', `The key "${id}" ${fault}.`, identity?.action ?? doFor.rejected, id, place)
  else if (words !== undefined)
    found.error(state, `The key "${id}" ${words[0]}${trouble === null ? '' : `: ${trouble}`}.`, words[1], id, place)
  else {
    const who = identity?.name ?? identity?.service_user ?? null
    found.ok(
      'identity',
      `${id} cannot be read here; the running gateway uses it${who === null ? '' : `, as ${who}`}`,
      id,
    )
  }
}
