// Names under which stored answers can be dropped: reads and writes have to spell them alike.

import { pathOf } from '../parsed-request.ts'

/** What is about one resource. A session's id is the same with and without `devin-`, escaped or not. */
export function resourceTag(id: string): string {
  const plain = decoded(id)
  return `resource:${plain.startsWith('devin-') ? plain.slice('devin-'.length) : plain}`
}

/** What is at the path of a target, with every query. Sessions' ids in it are one with and without `devin-`, too. */
export function pathTag(target: string): string {
  return pathOf(target).replaceAll('/devin-', '/')
}

/** What is about one organization; null for what may be about any of them. */
export function organizationTag(id: string | null): string {
  return id === null ? 'organization' : `organization:${decoded(id)}`
}

/** Answers of one operation, in one organization where it is about one. */
export function operationTag(operation: string, organization: string | null): string {
  return organization === null ? `operation:${operation}` : `operation:${operation} ${decoded(organization)}`
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
