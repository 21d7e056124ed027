// Who a key is by `GET /v3/self`, and whether the inventory says the same. Pure.

import { memberOf } from '../../json/untyped.ts'
import type { KeyHandle } from '../key.ts'

/** The answer of `GET /v3/self`. */
export interface KeyIdentity {
  /** `service_user`, or what the value is instead: `pat_user` for a person's token. */
  readonly principal: string
  /** Id of the service user; null for any other principal. */
  readonly serviceUser: string | null
  readonly name: string | null
  /** The organization of the credential; null at enterprise level. */
  readonly organization: string | null
}

/** What differs between the inventory and Devin. */
export type IdentityFaultKind = 'personal-token' | 'no-service-user' | 'service-user' | 'scope' | 'organization'

export interface IdentityFault {
  readonly kind: IdentityFaultKind
  /** The end of a sentence that begins with the key. */
  readonly text: string
  /** What to do, as a sentence. */
  readonly action: string
  /** The member of the inventory's entry that differs. */
  readonly member: 'secret' | 'service_user' | 'scope' | 'organization'
}

/** Reads the answer's JSON; null for a form that the API does not document, which says nothing. */
export function identityOf(value: unknown): KeyIdentity | null {
  const principal = textOf(value, 'principal_type')
  if (principal === null) return null
  const organization = memberOf(value, 'org_id')
  if (organization !== null && (typeof organization !== 'string' || organization === '')) return null
  if (principal !== 'service_user')
    return { principal, serviceUser: null, name: textOf(value, 'user_name'), organization }
  const serviceUser = textOf(value, 'service_user_id')
  if (serviceUser === null) return null
  return { principal, serviceUser, name: textOf(value, 'service_user_name'), organization }
}

/** What the inventory says otherwise than Devin; null where both say the same. */
export function identityFault(handle: KeyHandle, found: KeyIdentity): IdentityFault | null {
  if (found.principal === 'pat_user')
    return {
      kind: 'personal-token',
      text: `holds the personal access token of ${found.name ?? 'a person'}, and not the key of a service user`,
      action: 'Create an API key of a service user at Devin, and put it in place of the token.',
      member: 'secret',
    }
  if (found.principal !== 'service_user')
    return {
      kind: 'no-service-user',
      text: `holds a credential of the kind ${found.principal}, and not the key of a service user`,
      action: 'Create an API key of a service user at Devin, and put it in place of the credential.',
      member: 'secret',
    }
  const who = describeIdentity(found)
  if (handle.serviceUser !== null && !isNamed(found, handle.serviceUser))
    return {
      kind: 'service-user',
      text: `belongs to the service user ${who}, and the inventory declares ${handle.serviceUser}`,
      action: 'Put the key of the declared service user in its place, or correct `service_user`.',
      member: 'service_user',
    }
  if (handle.scope === 'organization' && found.organization === null)
    return {
      kind: 'scope',
      text: `is an enterprise key (service user ${who}), and the inventory declares the organization ${handle.organization ?? ''}`,
      action: 'Put the key of a service user of this organization in its place. An enterprise key reaches every one.',
      member: 'scope',
    }
  if (handle.scope === 'enterprise' && found.organization !== null)
    return {
      kind: 'scope',
      text: `is a key of the organization ${found.organization} (service user ${who}), and the inventory declares enterprise scope`,
      action: `Declare \`scope: organization\` with \`organization: ${found.organization}\`, or put an enterprise key in its place.`,
      member: 'scope',
    }
  if (handle.organization !== found.organization)
    return {
      kind: 'organization',
      text: `is a key of the organization ${found.organization ?? ''} (service user ${who}), and the inventory declares ${handle.organization ?? ''}`,
      action: 'Put the key of a service user of the declared organization in its place, or correct `organization`.',
      member: 'organization',
    }
  return null
}

/** Name and id of a service user, as a part of a sentence. */
export function describeIdentity({ serviceUser, name, principal }: KeyIdentity): string {
  const id = serviceUser ?? principal
  return name === null || name === id ? id : `${name} (${id})`
}

/** An inventory may name a service user by its id, or by its name, which is no id. */
function isNamed({ serviceUser, name }: KeyIdentity, declared: string): boolean {
  return declared === serviceUser || (declared === name && !declared.startsWith('service-user-'))
}

const longestText = 200

/** A short text. One that holds a key, which an upstream may repeat, is none. */
function textOf(value: unknown, name: string): string | null {
  const found = memberOf(value, name)
  return typeof found === 'string' && found !== '' && found.length <= longestText && !found.includes('cog_')
    ? found
    : null
}
