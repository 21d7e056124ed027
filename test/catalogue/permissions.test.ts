// The permission model: which names exist, and what an enterprise permission stands for in every organization.

import { describe, expect, test } from 'vitest'
import type { PermissionEntry } from '../../src/catalogue/data.ts'
import { compilePermissions } from '../../src/catalogue/permissions.ts'
import { catalogue } from '../support/policies.ts'

const { permissions } = catalogue

function entry(name: string, scope: PermissionEntry['scope'], implies: string | null = null): PermissionEntry {
  return { name, scope, controls: '', implies, implies_basis: implies === null ? null : 'inferred' }
}

describe('an enterprise permission', () => {
  test('stands for the organization permission the catalogue pairs it with, and the pair says how it is known', () => {
    expect(permissions.implies('ViewAccountSessions')).toBe('ViewOrgSessions')
    expect(permissions.basis('ViewAccountSessions')).toBe('documented')
    expect(permissions.implies('ManageAccountSessions')).toBe('ManageOrgSessions')
    expect(permissions.basis('ManageAccountSessions')).toBe('inferred')
    expect(permissions.impliedBy('ViewOrgSessions')).toEqual(['ViewAccountSessions'])
  })

  test('without a pair stands for nothing', () => {
    for (const name of ['ManageBilling', 'ManageOrganizations', 'ReadAccountMeta']) {
      expect(permissions.implies(name)).toBeNull()
      expect(permissions.basis(name)).toBeNull()
    }
  })

  test('is never stood for by another one, and nothing stands for the right to impersonate', () => {
    expect(permissions.impliedBy('ViewAccountSessions')).toEqual([])
    expect(permissions.impliedBy('ImpersonateOrgSessions')).toEqual([])
    expect(permissions.impliedBy('UseDevinSessions')).toEqual([])
  })

  test('that shares its name with an organization permission stands for that one', () => {
    expect(permissions.implies('UseReviewManual')).toBe('UseReviewManual')
    expect(permissions.isOrganizationPermission('UseReviewManual')).toBe(true)
  })
})

describe('an organization permission', () => {
  test('stands for nothing else, whatever it is called', () => {
    for (const name of ['ViewOrgSessions', 'ManageOrgSessions', 'ImpersonateOrgSessions', 'ManageOrgKnowledge']) {
      expect(permissions.implies(name)).toBeNull()
      expect(permissions.isOrganizationPermission(name)).toBe(true)
    }
    expect(permissions.isOrganizationPermission('ViewAccountSessions')).toBe(false)
  })

  test('can be stood for by several enterprise permissions', () => {
    const model = compilePermissions([
      entry('One', 'enterprise', 'Org'),
      entry('Two', 'enterprise', 'Org'),
      entry('Org', 'organization'),
    ])
    expect(model.impliedBy('Org')).toEqual(['One', 'Two'])
  })
})

describe('the names', () => {
  test('are exact: neither case nor inherited properties of objects make one', () => {
    expect(permissions.names.has('ViewOrgSessions')).toBe(true)
    for (const name of ['vieworgsessions', 'constructor', '__proto__', 'toString', '']) {
      expect(permissions.names.has(name)).toBe(false)
      expect(permissions.implies(name)).toBeNull()
      expect(permissions.impliedBy(name)).toEqual([])
    }
  })

  test('that only extension files use are known and stand for nothing', () => {
    const model = compilePermissions([entry('ViewAccountX', 'enterprise', 'ViewOrgX')], ['ReportsRead'])
    expect([...model.names].sort()).toEqual(['ReportsRead', 'ViewAccountX'])
    expect(model.implies('ReportsRead')).toBeNull()
    expect(model.isOrganizationPermission('ReportsRead')).toBe(false)
  })
})
