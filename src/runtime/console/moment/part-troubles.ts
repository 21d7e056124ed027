// What is wrong with issuers, keys, policies, certificate and records, as these parts know it. Pure.

import type { IssuerConfig } from '../../../config/issuer-schema.ts'
import { endingText } from '../../../config/values/instants.ts'
import type { KeyIdentityStatus } from '../../../keys/identity/identity-watch.ts'
import type { KeyStatus } from '../../../keys/keyring.ts'
import type { IssuerStatus } from '../../../identity/signing-keys/signing-keys.ts'
import type { CheckpointsStatus } from '../../../records/checkpoints/checkpoints.ts'
import type { StreamHealth } from '../../../records/sinks.ts'
import type { RefusedChange } from '../../live-policies.ts'
import type { Team } from '../../../policy/model/policy-set.ts'
import { clockNote, spanOf } from '../../operators/notes.ts'
import type { FoundTrouble } from './troubles.ts'

export function issuerTroubles(
  status: IssuerStatus,
  issuers: readonly IssuerConfig[],
  nowMs: number,
): readonly FoundTrouble[] {
  const { issuer, keys, lastError, fetchedAtMs, givenUpInMs } = status
  const about = { owner: 'identity team', kind: 'issuer', name: issuer } as const
  const advice = `Ask the identity team whether ${issuer} is up, and ask it from this host with curl.`
  const clock = clockNote(status, issuers)
  const skewed: readonly FoundTrouble[] =
    clock === null
      ? []
      : [
          {
            ...about,
            severity: 'warning',
            aspect: 'clock',
            what: sentence(clock),
            do: 'Check the clocks of this host and of the issuer.',
          },
        ]
  if (keys === 0 && (lastError !== null || fetchedAtMs !== null))
    return [
      {
        ...about,
        severity: 'outage',
        aspect: 'keys',
        what: `Issuer ${issuer} cannot be used: ${lastError ?? 'it has no usable signing key'}. Its callers are refused with 503.`,
        do: advice,
      },
      ...skewed,
    ]
  if (givenUpInMs === null) return skewed
  // The latest good answer: the fetches after it failed.
  const until = new Date(nowMs + givenUpInMs).toISOString().slice(11, 16)
  const age = status.ageMs === null ? '' : ` for ${spanOf(status.ageMs)}`
  return [
    {
      ...about,
      severity: 'degraded',
      aspect: 'keys',
      sinceMs: fetchedAtMs,
      what: `Issuer ${issuer} cannot be reached${age}: known signing keys serve until ${until} UTC. ${sentence(lastError ?? '')}`,
      do: advice,
    },
    ...skewed,
  ]
}

export function keyTroubles(
  { handle, state, sourceFault, valueAgeMs }: KeyStatus,
  identity: KeyIdentityStatus,
  nowMs: number,
): readonly FoundTrouble[] {
  const about = { owner: 'platform', kind: 'key', name: handle.id } as const
  const found: FoundTrouble[] = []
  const refused = 'calls that need it are refused with 503, and no stronger key takes its place'
  const unusable = unusableKeys[state]
  if (unusable !== undefined)
    found.push({
      ...about,
      severity: state === 'rejected' ? 'degraded' : 'outage',
      aspect: state,
      what: `Key ${handle.id} ${unusable.what}: ${state === 'rejected' ? 'it is tried again, and set aside after three rejections' : refused}.`,
      do: unusable.do.replaceAll('KEY', handle.id),
    })
  if (sourceFault !== null)
    found.push({
      ...about,
      severity: state === 'unresolved' ? 'outage' : 'degraded',
      aspect: 'source',
      what: `The source of key ${handle.id} cannot be read: ${sourceFault}.${state === 'unresolved' ? ` It has no value: ${refused}.` : ` Its value stays in use${valueAgeMs === null ? '' : `, as it was ${spanOf(valueAgeMs)} ago`}.`}`,
      do: `Repair the place where key ${handle.id} is kept (${handle.source.file}:${handle.source.line}); it is asked again by itself.`,
    })
  if (identity.fault !== null)
    found.push({
      ...about,
      severity: state === 'quarantined' ? 'outage' : 'warning',
      aspect: 'identity',
      what: `Key ${handle.id} is another one than declared: ${identity.fault.text}.`,
      do: sentence(identity.fault.action),
    })
  for (const [aspect, endsAtMs, place] of [
    ['expiry', handle.expiresAtMs, 'by its entry in the inventory'],
    ['end', identity.endsAtMs, 'at Devin'],
  ] as const) {
    const text = endsAtMs === null ? null : endingText(endsAtMs, nowMs)
    if (text === null || state === 'expired') continue
    found.push({
      ...about,
      severity: 'warning',
      aspect,
      what: `Key ${handle.id} ${text}, ${place}.`,
      do: `Rotate it: devin-gateway rotate ${handle.id}.`,
    })
  }
  return found
}

const unusableKeys: Readonly<Record<string, { readonly what: string; readonly do: string } | undefined>> = {
  rejected: {
    what: 'was rejected by Devin',
    do: 'Ask who revoked key KEY at Devin, and put a new value in its place: devin-gateway rotate KEY.',
  },
  'set-aside': {
    what: 'was rejected by Devin three times in a row, and is set aside',
    do: 'Ask who revoked key KEY at Devin, and put a new value in its place: devin-gateway rotate KEY.',
  },
  expired: { what: 'has expired', do: 'Rotate key KEY, and write its new end into `expires` of the inventory.' },
  blocked: {
    what: 'is blocked by an operator',
    do: 'See why under blocks, and end it: devin-gateway unblock key KEY.',
  },
  quarantined: { what: 'is quarantined', do: 'Put the value that belongs to key KEY in its place.' },
}

export function policyTroubles(
  set: 'policies' | 'shadow',
  refusal: Pick<RefusedChange, 'atMs' | 'diagnostics'> & { readonly result?: RefusedChange['result'] },
  teams: readonly Team[],
): FoundTrouble {
  const { atMs, diagnostics, result = 'refused' } = refusal
  const others = diagnostics.length > 1 ? ` Further findings: ${diagnostics.length - 1}.` : ''
  const isHeld = result === 'held'
  const name = set === 'policies' ? 'The changed policies' : 'The changed shadow set'
  return {
    kind: set,
    aspect: 'refused',
    severity: set === 'policies' ? 'degraded' : 'warning',
    sinceMs: atMs,
    owner: 'policy owner',
    contact: contactOf(teams.find(({ source }) => diagnostics[0]?.startsWith(`${source.file}:`)) ?? null),
    what: `${name} ${isHeld ? 'wait for a reload on demand' : set === 'policies' ? 'were refused' : 'was refused'}, and the ${set === 'policies' ? 'ones' : 'one'} before stay${set === 'policies' ? '' : 's'} in force: ${sentenceEnd(diagnostics[0] ?? '')}${others}`,
    do: isHeld
      ? 'Look whether the bounds were removed on purpose, and reload on demand: POST /api/reload.'
      : 'Correct the file and line that is named, or take the change back; `devin-gateway check` says the same before it is merged.',
  }
}

export function certificateTroubles(notes: readonly string[], hasEnded: boolean): readonly FoundTrouble[] {
  return notes.map((note, index) => ({
    kind: 'certificate',
    aspect: String(index),
    severity: hasEnded ? 'outage' : 'warning',
    owner: 'platform',
    what: sentence(note),
    do: 'Put the renewed certificate and its key in their places, and reload: POST /api/reload.',
  }))
}

export function recordTroubles(health: readonly StreamHealth[]): readonly FoundTrouble[] {
  return health.flatMap(({ stream, healthy, lost, error }): readonly FoundTrouble[] => {
    const isAudit = stream === 'audit'
    const effect = isAudit
      ? 'changes are refused until it can, and the instance is not ready'
      : `records lost so far: ${lost}`
    if (!healthy)
      return [
        {
          kind: isAudit ? 'audit' : 'records',
          name: stream,
          aspect: 'unwritable',
          severity: isAudit ? 'outage' : 'degraded',
          owner: 'platform',
          what: `The ${stream} ${isAudit ? 'log' : 'records'} cannot be written (${reasonText(error)}): ${effect}.`,
          do: `Free space or repair the target of records.${stream}; writing goes on by itself.`,
        },
      ]
    if (lost === 0) return []
    return [
      {
        kind: 'records',
        name: stream,
        aspect: 'lost',
        severity: 'warning',
        owner: 'platform',
        what: `Lines lost from ${stream} since the start: ${lost}.`,
        do: 'See `records` in the log for when and why; the gap shows as `lost_before` in the decision records.',
      },
    ]
  })
}

export function checkpointTroubles(status: CheckpointsStatus | null): readonly FoundTrouble[] {
  if (status === null) return []
  const about = { kind: 'audit', severity: 'warning', owner: 'platform' } as const
  return [
    ...(status.keyError === null
      ? []
      : [
          {
            ...about,
            aspect: 'checkpoint-key',
            what: `Audit checkpoints are not signed: ${status.keyError}.`,
            do: 'Repair the key that checkpoints.key names.',
          },
        ]),
    ...status.places.flatMap(({ place, error, waiting }) =>
      error === null
        ? []
        : [
            {
              ...about,
              name: place,
              aspect: 'checkpoint',
              what: `Audit checkpoints do not reach ${place}: ${error}; ${waiting} wait.`,
              do: `See why ${place} takes nothing; they are sent when it does.`,
            },
          ],
    ),
  ]
}

function reasonText(error: string | null): string {
  return error === 'ENOSPC' ? 'the disk is full' : (error ?? 'no reason is known')
}

/** Begins with a capital letter and ends with a full stop. */
export function sentence(text: string): string {
  return sentenceEnd(`${text.slice(0, 1).toUpperCase()}${text.slice(1)}`)
}

function sentenceEnd(text: string): string {
  return text === '' || /[.!?]$/.test(text) ? text : `${text}.`
}

/** Whom to ask, where the policies name somebody. */
export function contactOf(team: Team | null): string | null {
  return team?.owner?.contact ?? team?.owner?.owner ?? null
}
