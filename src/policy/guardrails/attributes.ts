// What a guardrail may say about the caller: `principal.devin_user_id` as a value, `${team}` inside one.

import { didYouMean } from '../../config/nearest.ts'
import { verifiedEmail } from '../../identity/claims.ts'
import type { Principal } from '../../identity/principal.ts'
import { jsonNumber, type StrictJson } from '../../json/value.ts'
import { Effort } from './pattern.ts'

export const attributeNames = ['devin_user_id', 'subject', 'email', 'app', 'issuer', 'team', 'organization'] as const
export type AttributeName = (typeof attributeNames)[number]

/** The caller's user at Devin: its id, or a sentence that says why there is none. */
export type DevinUser = { readonly id: string } | { readonly unknown: string }

/** The attributes of one caller in one request. */
export class CallerAttributes {
  readonly #values: Readonly<Record<Exclude<AttributeName, 'devin_user_id'>, string | null>>
  readonly #devinUser: DevinUser | undefined
  readonly #emailUnverified: boolean
  #wantsDevinUser = false
  /** Of all patterns that look at the request. */
  readonly effort = new Effort()

  /** `devinUser` is undefined while it was not looked up. */
  constructor(principal: Principal, team: string, organization: string | null, devinUser: DevinUser | undefined) {
    const { subject, app, issuer } = principal
    this.#emailUnverified = principal.email !== null && !principal.emailVerified
    this.#values = { subject, email: verifiedEmail(principal), app, issuer, team, organization }
    this.#devinUser = devinUser
  }

  /** Whether the user at Devin was needed and not looked up: then the result must not be used. */
  get wantsDevinUser(): boolean {
    return this.#wantsDevinUser
  }

  /** The value, or null where the caller has none. */
  valueOf(name: AttributeName): string | null {
    if (name !== 'devin_user_id') return this.#values[name]
    if (this.#devinUser === undefined) {
      this.#wantsDevinUser = true
      return null
    }
    return 'id' in this.#devinUser ? this.#devinUser.id : null
  }

  /** Why there is no value, as the end of a sentence. */
  whyMissing(name: AttributeName): string {
    if (name === 'devin_user_id' && this.#devinUser !== undefined && 'unknown' in this.#devinUser)
      return this.#devinUser.unknown
    if (name === 'email' && this.#emailUnverified) return 'the issuer of the token has not verified the e-mail address'
    return name === 'organization' ? 'this request names no organization' : `the token of this caller says no ${name}`
  }
}

/** A value of the policies with the attributes filled in, or the one that the caller lacks. */
export type FilledIn = { readonly value: StrictJson } | { readonly lacks: AttributeName }

export interface ValueTemplate {
  /** As it stands in the policies, for messages. */
  readonly text: string
  /** The same as the YAML value it is. */
  readonly written: unknown
  /** Whether every caller gets the same value. */
  readonly constant: boolean
  for(caller: CallerAttributes): FilledIn
}

/** Compiles a YAML value. Gives a sentence when it names an attribute that does not exist. */
export function compileValue(written: unknown): ValueTemplate | { readonly error: string } {
  const problem = unknownAttribute(written)
  if (problem !== null) return { error: problem }
  const text = typeof written === 'string' ? written : JSON.stringify(written)
  if (!/principal\.|\$\{/.test(text)) {
    const filled = { value: strictValue(written, (each) => each) }
    return { text, written, constant: true, for: () => filled }
  }
  return {
    text,
    written,
    constant: false,
    for(caller) {
      let lacks: AttributeName | null = null
      const attribute = (name: AttributeName): string => {
        const value = caller.valueOf(name)
        if (value === null) lacks ??= name
        return value ?? ''
      }
      const value = strictValue(written, (each) => filledIn(each, attribute))
      return lacks === null ? { value } : { lacks }
    },
  }
}

const whole = /^principal\.(.*)$/
const inside = /\$\{([^}]*)\}/g

function filledIn(text: string, attribute: (name: AttributeName) => string): string {
  const name = whole.exec(text)?.[1]
  // Names were checked when the value was compiled.
  if (name !== undefined) return attribute(name as AttributeName)
  return text.replaceAll(inside, (_, each: string) => attribute(each as AttributeName))
}

function unknownAttribute(written: unknown): string | null {
  if (typeof written === 'string') {
    const alone = whole.exec(written)?.[1]
    const named = alone === undefined ? [...written.matchAll(inside)].map((match) => match[1] ?? '') : [alone]
    const unknown = named.find((name) => !(attributeNames as readonly string[]).includes(name))
    if (unknown === undefined) return null
    return `unknown attribute "${unknown}": a value may name ${attributeNames.join(', ')}${didYouMean(unknown, attributeNames)}`
  }
  if (typeof written !== 'object' || written === null) return null
  return (
    Object.values(written)
      .map(unknownAttribute)
      .find((problem) => problem !== null) ?? null
  )
}

/** A YAML value as JSON; a prototype-less object, as parsed ones are. */
function strictValue(written: unknown, fill: (text: string) => string): StrictJson {
  if (typeof written === 'string') return fill(written)
  if (typeof written === 'number') return jsonNumber(written)
  if (typeof written === 'boolean' || written === null) return written
  if (Array.isArray(written)) return written.map((each) => strictValue(each, fill))
  const members = Object.entries(Object(written)).map(([name, value]) => [name, strictValue(value, fill)] as const)
  return Object.assign(Object.create(null) as { [member: string]: StrictJson }, Object.fromEntries(members))
}
