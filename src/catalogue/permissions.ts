// The upstream's permission names and what an enterprise permission gives in every organization. Pure data.

import type { PermissionEntry } from './data.ts'

export type InheritanceBasis = 'documented' | 'inferred'

export interface PermissionModel {
  readonly names: ReadonlySet<string>
  /** The organization permission that an enterprise permission implies, or null. */
  implies(enterprisePermission: string): string | null
  /** Whether the pair is spelled out in the documentation or follows from its general rule. */
  basis(enterprisePermission: string): InheritanceBasis | null
  /** Enterprise permissions that imply this organization permission. */
  impliedBy(organizationPermission: string): readonly string[]
  /** True when the name exists at organization scope. */
  isOrganizationPermission(name: string): boolean
}

/** Builds the model; `extra` are names that only extension files use. */
export function compilePermissions(entries: readonly PermissionEntry[], extra: Iterable<string> = []): PermissionModel {
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
    names,
    implies: (name) => implied.get(name)?.permission ?? null,
    basis: (name) => implied.get(name)?.basis ?? null,
    impliedBy: (name) => impliedBy.get(name) ?? [],
    isOrganizationPermission: (name) => atOrganization.has(name),
  }
}
