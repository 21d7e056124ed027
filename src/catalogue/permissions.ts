// The upstream's permission names and what an enterprise permission gives in every organization. Pure data.

import type { PermissionEntry } from './data.ts'

export type InheritanceBasis = 'documented' | 'inferred'

export type PermissionModel = ReturnType<typeof compilePermissions>

/** Builds the model; `extra` are names that only extension files use. */
export function compilePermissions(entries: readonly PermissionEntry[], extra: Iterable<string> = []) {
  const names = new Set<string>(extra)
  const implied = new Map<string, { permission: string; basis: InheritanceBasis }>()
  const impliedBy = new Map<string, string[]>()
  const atOrganization = new Set<string>()
  for (const entry of entries) {
    names.add(entry.name)
    if (entry.scope === 'organization') atOrganization.add(entry.name)
    if (entry.implies === null || entry.implies_basis === null) continue
    implied.set(entry.name, { permission: entry.implies, basis: entry.implies_basis })
    impliedBy.set(entry.implies, [...(impliedBy.get(entry.implies) ?? []), entry.name])
  }
  return {
    names: names as ReadonlySet<string>,
    /** The organization permission that an enterprise permission implies, or null. */
    implies: (name: string): string | null => implied.get(name)?.permission ?? null,
    /** Whether the pair is spelled out in the documentation or follows from its general rule. */
    basis: (name: string): InheritanceBasis | null => implied.get(name)?.basis ?? null,
    /** Enterprise permissions that imply this organization permission. */
    impliedBy: (name: string): readonly string[] => impliedBy.get(name) ?? [],
    isOrganizationPermission: (name: string): boolean => atOrganization.has(name),
  }
}
