// What teams, grants and guardrails say of themselves for people, and whom a refusal names. Pure.

/** Who may change something, and where to reach them; null where the policies do not say it. */
export interface Owner {
  readonly owner: string | null
  readonly contact: string | null
}

/** Texts of one line and of bounded length; they decide nothing. */
export interface Remarks extends Owner {
  readonly description: string | null
}

/** The first of these that names somebody: the nearest holder comes first. Null where none does. */
export function ownerOf(...holders: readonly (Owner | null)[]): Owner | null {
  const found = holders.find((holder) => holder !== null && (holder.owner !== null || holder.contact !== null))
  return found === undefined || found === null ? null : { owner: found.owner, contact: found.contact }
}

/** Whom to ask, as a part of a sentence; `role` stands for somebody whom the policies do not name. */
export function ownerText(found: Owner | null, role: string): string {
  if (found === null) return role
  const { owner, contact } = found
  return contact === null || contact === owner ? (owner ?? role) : `${owner ?? role} (${contact})`
}

/** By what right something is allowed; with the place of the grant where files can be named. */
export function byGrant(
  grant: { readonly id: string; readonly source: { readonly file: string; readonly line: number } } | null,
  nameOf?: (file: string) => string,
): string {
  if (grant === null) return 'as a member'
  const { id, source } = grant
  return `by grant ${id}${nameOf === undefined ? '' : ` (${nameOf(source.file)}:${source.line})`}`
}
