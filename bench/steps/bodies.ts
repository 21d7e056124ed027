// The worst bodies that a policy reads, each as large as bodies.max_judged_size lets through: parsed, and then judged and recorded.

import { parseTarget } from '../../src/catalogue/target.ts'
import { StrictJsonError } from '../../src/json/strict-json-error.ts'
import { evaluate, evaluateBody, findOperation } from '../../src/policy/decision/evaluate.ts'
import { parseCheckedBody } from '../../src/policy/decision/checked-body.ts'
import { guardrailsEntry } from '../../src/gateway/recording/guardrails-entry.ts'
import { caller, policy } from './policy.ts'
import type { Step } from './step.ts'

type Turn = Parameters<Step['run']>[0]

const largest = 1024 * 1024
const most = 4_990

function filled(open: string, item: string, close: string): string {
  const count = Math.floor((largest - open.length - close.length) / (item.length + 1))
  return open + Array(count).fill(item).join(',') + close
}

function list(member: string, items: number, item: unknown): string {
  return JSON.stringify({ [member]: Array(items).fill(item) })
}

/** A text of pieces, as long as may be. */
function text(member: string, piece: string): string {
  return JSON.stringify({ [member]: piece.repeat((largest - 40) / Buffer.byteLength(piece)) })
}

function names(nameAt: (index: number) => string): string {
  return JSON.stringify(Object.fromEntries(Array.from({ length: most }, (_, index) => [nameAt(index), 1] as const)))
}

function members(prefix: string, length: number): string {
  return names((index) => `${prefix}${index}`.padEnd(length, 'x'))
}

const bodies: Readonly<Record<string, string>> = {
  'numbers without end': filled('[', '0', ']'),
  'objects without end': filled('[', '{"a":1}', ']'),
  'brackets without end': '['.repeat(largest),
  'names without end': `{${Array.from({ length: 100_000 }, (_, index) => `"${index}":1`).join(',')}}`,
  'line breaks and a mistake': `${'\n'.repeat(largest - 1)}x`,
  'a long prompt': JSON.stringify({ prompt: 'a'.repeat(largest - 20) }),
  'a prompt of escapes': JSON.stringify({ prompt: '\n'.repeat(largest / 2 - 20) }),
  'a prompt of code points': `{"prompt":"${'\\ud83d\\ude00'.repeat(largest / 12 - 20)}"}`,
  'a long number': `{"max_acu_limit":0.${'0'.repeat(largest - 100)}1}`,
  'many repositories': list('repos', 9_990, `corp/${'a'.repeat(95)}`),
  'many escaped repositories': list('repos', 9_000, `corp/${'%2541'.repeat(18)}`),
  'one long repository': list('repos', 1, `corp/${'a/'.repeat(500_000)}a`),
  'many tags': list('tags', 9_990, 't'.repeat(90)),
  'many places for a default': list('secrets', 2_400, { z: 1 }),
  'many numbers out of bounds': list('numbers', 9_990, 9),
  'many names': members('Name_', 190),
  'many odd names': members('Näme_', 190),
  'one long name': JSON.stringify({ ['A_'.repeat(500_000)]: 1 }),
  'one long title': JSON.stringify({ title: 'a'.repeat(65_000) }),
  'letters in an order that an expression has not seen': JSON.stringify({
    branch: Array.from({ length: 34_000 }, () => (Math.random() < 0.5 ? 'a' : 'b')).join(''),
  }),
  'a text of reserved pieces': text('prompt', 'team,'),
  'a text of nearly reserved pieces': text('prompt', 't-e-a-m,'),
  'a text of separators': text('prompt', ','),
  'tags of nearly reserved pieces': list('tags', 9_990, 'tea,'.repeat(25)),
  'tags of odd letters': list('tags', 9_990, 'ｔｅａｍ,'.repeat(6)),
  'one long text for a pattern': text('playbook_id', 'corp/a'),
  'one long odd text for a pattern': text('playbook_id', 'corp/%2e'),
  'names of steps': names((index) => `a${index}${'.1'.repeat(95)}`),
  'names of brackets': names((index) => `a${index}${'[1]'.repeat(60)}`),
  'names of odd letters': names((index) => `${index}${'ｍ'.repeat(64)}`),
  'a name of steps': JSON.stringify({ ['.1'.repeat(largest / 2 - 20)]: 1 }),
  'a name of odd letters': JSON.stringify({ ['ｍ'.repeat(largest / 3 - 20)]: 1 }),
  'a name of marks': JSON.stringify({ [`a${'\u0301'.repeat(largest / 2 - 20)}`]: 1 }),
  'names one in the other': `${'{"org.1":'.repeat(63)}1${'}'.repeat(63)}`,
  'the largest objects one in the other': `${'{"a":['.repeat(31)}${'1,'.repeat(9_800)}1${']}'.repeat(31)}`,
  'broken UTF-8': `{"prompt":"${'a'.repeat(largest - 20)}\ud800"}`,
  'many organizations': list('org_ids', 9_990, 'org-payments'),
}

const target = parseTarget('/v3/organizations/org-payments/sessions')
const operation = findOperation(policy, 'POST', target)

/** In the gateway other requests have their turn between these, as all of the bodies are large. */
function judge(text: string, turn: Turn): void {
  const first = turn(() => evaluate(policy, caller, operation, target))
  const body = turn(() => {
    try {
      return parseCheckedBody(Buffer.from(text))
    } catch (error) {
      if (error instanceof StrictJsonError) return null
      throw error
    }
  })
  if (body === null) return
  const judged = turn(() => evaluateBody(policy, first, body))
  turn(() => JSON.stringify(guardrailsEntry(judged)))
  turn(() => judged.body?.bytes)
}

export const judgedBodies: readonly Step[] = Object.entries(bodies).map(([name, text]) => ({
  name: `a body: ${name}`,
  run: (turn) => judge(text, turn),
}))
