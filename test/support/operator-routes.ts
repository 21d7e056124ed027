// The role that each call of the operators' listener needs, written down a second time: the product's own table is compared with it.

export const operatorRoles = ['viewer', 'operator', 'key_officer'] as const

const changes: Readonly<Record<string, (typeof operatorRoles)[number]>> = {
  'POST /api/explain': 'viewer',
  'POST /api/reload': 'operator',
  'POST /api/purge': 'operator',
  'POST /api/audit/checkpoint': 'operator',
  'POST /api/blocks': 'operator',
  'DELETE /api/blocks': 'operator',
  'POST /api/rotations': 'key_officer',
}

export function neededRole(method: string, path: string): (typeof operatorRoles)[number] | null {
  return method === 'GET' || method === 'HEAD' ? 'viewer' : (changes[`${method} ${path}`] ?? null)
}
