// The classes of callers that the conditions of a team can tell apart. Two callers of one class fulfil the same conditions,
// so one of them stands for all. Pure.

import { emptyPrincipal, type Principal } from '../../identity/principal.ts'
import { conditionHolds, describeCondition, type Condition } from '../model/condition.ts'

/** Callers that fulfil the same conditions. */
export interface CallerClass {
  /** One of them, with as few attributes as possible. */
  readonly principal: Principal
  /** Whether conditions ask for the subject and for the issuer; else any will do. */
  readonly named: { readonly subject: boolean; readonly issuer: boolean }
  /** The attributes that make them one class, in words: `groups sso-payments-eng and payments-leads`. */
  readonly text: string
}

export interface CallerClasses {
  readonly classes: readonly CallerClass[]
  /** The conditions that tell them apart. */
  readonly conditions: readonly Condition[]
  /** False when there are more classes than can be decided; those that are missing must be counted as undecided. */
  readonly complete: boolean
}

/** More classes of one team than anybody writes; each costs a decision on every operation. */
const mostClasses = 4_096

/** A value of an attribute, or several at once; bits say which conditions it leaves possible. */
interface Option {
  readonly bits: bigint
  readonly values: readonly string[]
}

interface Attribute {
  readonly name: string
  /** Whether a caller can have several values at once. */
  readonly several: boolean
  /** The values that a condition tells apart; null where it does not read the attribute. */
  readonly valuesOf: (condition: Condition) => ReadonlySet<string> | null
  /** Whether a condition that reads it holds for a caller with this value, or with none. */
  readonly holds: (condition: Condition, value: string | null) => boolean
}

const single = ['app', 'subject', 'email', 'issuer'] as const
/** Stands for every actor that no condition names. */
export const otherActor = 'any-other-actor'

/**
 * The classes that the conditions tell apart. `isMember` keeps those that matter: callers outside the team are decided
 * by no grant of it.
 */
export function callerClasses(
  conditions: readonly Condition[],
  isMember: (principal: Principal) => boolean,
): CallerClasses {
  const distinct = [...new Set(conditions)]
  const all = (1n << BigInt(distinct.length)) - 1n
  let combined: { bits: bigint; chosen: ReadonlyMap<string, readonly string[]> }[] = [{ bits: all, chosen: new Map() }]
  let complete = true
  for (const attribute of attributesOf(distinct)) {
    const { options, complete: whole } = optionsOf(attribute, distinct)
    const next = new Map<bigint, (typeof combined)[number]>()
    for (const [index, { bits, chosen }] of combined.entries()) {
      // Every value for every caller would take minutes. Once the list is cut off, only the first caller gets each value; the others
      // get one value that rules out none of their conditions.
      const kept =
        complete || index === 0 ? options : [options.find((option) => (bits & option.bits) === bits) ?? options[0]]
      for (const option of kept) {
        if (option === undefined) continue
        const both = bits & option.bits
        if (!complete && option.values.length === 0) {
          if (!next.has(both)) next.set(both, { bits: both, chosen })
          continue
        }
        if (!next.has(both))
          next.set(both, { bits: both, chosen: new Map([...chosen, [attribute.name, option.values]]) })
      }
    }
    combined = [...next.values()]
    complete &&= whole && combined.length <= mostClasses
    if (combined.length > mostClasses) combined.length = mostClasses
  }
  const classes = combined.flatMap(({ chosen }) => {
    const principal = principalOf(chosen, distinct)
    if (!isMember(principal)) return []
    return [
      { principal, named: { subject: chosen.has('subject'), issuer: chosen.has('issuer') }, text: textOf(chosen) },
    ]
  })
  return { classes, conditions: distinct, complete }
}

function attributesOf(conditions: readonly Condition[]): readonly Attribute[] {
  const paths = new Set(conditions.flatMap(({ claims }) => [...claims.keys()]))
  const attributes: Attribute[] = [
    plain('groups', true, ({ groups }) => groups),
    ...single.map((name) => plain(name, false, (condition) => condition[name])),
    {
      name: 'actor',
      several: false,
      valuesOf: ({ actor, delegated }) =>
        actor === null && delegated === null ? null : new Set([...(actor ?? []), otherActor]),
      holds: ({ actor, delegated }, value) =>
        (actor === null || (value !== null && actor.has(value))) &&
        (delegated === null || delegated === (value !== null)),
    },
    ...[...paths].map((path) => plain(`claim ${path}`, true, ({ claims }) => claims.get(path) ?? null)),
  ]
  return attributes.filter(({ valuesOf }) => conditions.some((condition) => valuesOf(condition) !== null))
}

function plain(name: string, several: boolean, valuesOf: Attribute['valuesOf']): Attribute {
  const holds: Attribute['holds'] = (condition, value) => value !== null && valuesOf(condition)?.has(value) === true
  return { name, several, valuesOf, holds }
}

/** What a caller can have of one attribute: none of the values that are named, first, then each class of values. */
function optionsOf(
  { several, valuesOf, holds }: Attribute,
  conditions: readonly Condition[],
): { readonly options: readonly Option[]; readonly complete: boolean } {
  const named = new Set(conditions.flatMap((condition) => [...(valuesOf(condition) ?? [])]))
  const bitsOf = (value: string | null): bigint =>
    conditions.reduce((bits, condition, index) => {
      const fits = valuesOf(condition) === null || holds(condition, value)
      return fits ? bits | (1n << BigInt(index)) : bits
    }, 0n)
  const options = new Map<bigint, Option>([[bitsOf(null), { bits: bitsOf(null), values: [] }]])
  for (const value of named) {
    const bits = bitsOf(value)
    // Several values at once open what each of them opens.
    const bases = several ? [...options.values()] : [{ bits: 0n, values: [] }]
    for (const base of bases) {
      const both = base.bits | bits
      if (!options.has(both)) options.set(both, { bits: both, values: [...base.values, value] })
    }
    if (options.size > mostClasses) return { options: [...options.values()].slice(0, mostClasses), complete: false }
  }
  return { options: [...options.values()], complete: true }
}

function principalOf(chosen: ReadonlyMap<string, readonly string[]>, conditions: readonly Condition[]): Principal {
  const first = (name: string): string | null => chosen.get(name)?.[0] ?? null
  const claims = [...chosen].flatMap(([name, values]) =>
    name.startsWith('claim ') && values.length > 0 ? [[name.slice('claim '.length), values] as const] : [],
  )
  const email = first('email')
  return {
    ...emptyPrincipal,
    subject: first('subject') ?? unlike('any-other-subject', conditions, 'subject'),
    issuer: first('issuer') ?? unlike('https://any-other-issuer.example', conditions, 'issuer'),
    email,
    emailVerified: email !== null,
    groups: chosen.get('groups') ?? [],
    actor: first('actor'),
    app: first('app'),
    // A claim whose whole name is the path is what the path finds.
    claims: Object.fromEntries(claims),
  }
}

/** A value that no condition names. */
function unlike(text: string, conditions: readonly Condition[], attribute: 'subject' | 'issuer'): string {
  return conditions.some((condition) => condition[attribute]?.has(text) === true)
    ? unlike(`${text}-`, conditions, attribute)
    : text
}

function textOf(chosen: ReadonlyMap<string, readonly string[]>): string {
  const parts = [...chosen].flatMap(([name, values]) =>
    values.length === 0 ? [] : [`${name} ${values.join(' and ')}`],
  )
  return parts.length === 0 ? 'no attribute that counts' : parts.join(' and ')
}

/** Whether a caller fulfils any of the conditions. */
export function fulfilsAny(conditions: readonly Condition[], principal: Principal): boolean {
  return conditions.some((condition) => conditionHolds(condition, principal))
}

/**
 * Some of the classes of a team in words: all of them, those that fulfil one condition, or each by its attributes.
 */
export function describeCallers(some: readonly CallerClass[], { classes, conditions }: CallerClasses): string {
  const chosen = new Set(some)
  if (classes.every((each) => chosen.has(each))) return 'all members'
  const fitting = conditions.find((condition) =>
    classes.every((each) => chosen.has(each) === conditionHolds(condition, each.principal)),
  )
  return fitting === undefined
    ? `members with ${some.map(({ text }) => text).join(', or ')}`
    : `members with ${describeCondition(fitting)}`
}
