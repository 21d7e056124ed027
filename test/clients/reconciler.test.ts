// An infrastructure tool: it creates, reads back at once, changes, reads back, and re-creates what it finds gone. It takes
// 404 for "gone" and everything else for "keep what you know".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCompany, organization, type Company } from './company.ts'
import { ApiError, Sdk } from './sdk.ts'
import { fetchWire, openPool } from './wires.ts'

type State = Readonly<Record<string, unknown>>

interface Kind {
  readonly name: string
  readonly path: string
  /** Name of the id in an answer. */
  readonly id: string
  readonly update: 'PUT' | 'PATCH' | null
  readonly wanted: State
  readonly changed: State
  /** What the answer calls it when it is not what the request called it, and what it never shows. */
  readonly shown: (state: State) => State
}

const same = (state: State): State => state
const of = (part: string): string => `/v3/organizations/${organization}/${part}`

const kinds: readonly Kind[] = [
  {
    name: 'a playbook',
    path: of('playbooks'),
    id: 'playbook_id',
    update: 'PUT',
    wanted: { title: 'Upgrade', body: '1. Read\n2. Ändern', macro: '!upgrade' },
    changed: { title: 'Upgrade', body: 'Just do it', macro: null },
    shown: same,
  },
  {
    name: 'a knowledge note',
    path: of('knowledge/notes'),
    id: 'note_id',
    update: 'PUT',
    wanted: { name: 'Style', body: 'Tabs', trigger: 'always', pinned_repo: 'corp/ledger' },
    changed: { name: 'Style', body: 'Spaces', trigger: 'always', pinned_repo: null },
    shown: same,
  },
  {
    name: 'a schedule',
    path: of('schedules'),
    id: 'scheduled_session_id',
    update: 'PATCH',
    wanted: { name: 'Weekly', prompt: 'update', schedule_type: 'recurring', frequency: '0 6 * * 1', enabled: true },
    changed: { enabled: false },
    shown: same,
  },
  {
    name: 'a secret',
    path: of('secrets'),
    id: 'secret_id',
    update: null,
    wanted: { type: 'key-value', key: 'REGISTRY', value: 'do-not-show-me', is_sensitive: true, note: null },
    changed: {},
    shown: ({ type, value: _value, ...rest }) => ({ ...rest, secret_type: type }),
  },
]

class Reconciler {
  readonly #devin: Sdk
  readonly #kind: Kind

  constructor(devin: Sdk, kind: Kind) {
    this.#devin = devin
    this.#kind = kind
  }

  async create(state: State): Promise<string> {
    return String((await this.#devin.call<State>('POST', this.#kind.path, { json: state }))[this.#kind.id])
  }

  /** Null: gone. Kinds without a read of one object are looked for in the list, page by page. */
  async read(id: string): Promise<State | null> {
    if (this.#kind.update === null) return await this.#find(id)
    try {
      return await this.#devin.call<State>('GET', `${this.#kind.path}/${id}`)
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null
      throw error
    }
  }

  async update(id: string, change: State): Promise<void> {
    await this.#devin.call(this.#kind.update ?? 'PUT', `${this.#kind.path}/${id}`, { json: change })
  }

  async delete(id: string): Promise<void> {
    await this.#devin.call('DELETE', `${this.#kind.path}/${id}`)
  }

  async #find(id: string): Promise<State | null> {
    for await (const item of this.#devin.all<State>(this.#kind.path, { first: 1 })) {
      if (item[this.#kind.id] === id) return item
    }
    return null
  }
}

const pool = openPool(2)
let company: Company
let devin: Sdk
beforeAll(async () => {
  company = await openCompany()
  devin = new Sdk({ base: company.base, token: await company.token('builder'), wire: pool.wire })
})
afterAll(async () => {
  pool.close()
  await company.close()
})

describe.each(kinds)('a reconciler that keeps $name', (kind) => {
  it('reads back at once what it wrote, three times over', async () => {
    const tool = new Reconciler(devin, kind)
    for (let round = 0; round < 3; round++) {
      const id = await tool.create(kind.wanted)
      expect(await tool.read(id)).toMatchObject(kind.shown(kind.wanted))
      if (kind.update !== null) {
        await tool.update(id, kind.changed)
        expect(await tool.read(id)).toMatchObject({ ...kind.wanted, ...kind.changed })
      }
      await tool.delete(id)
      expect(await tool.read(id)).toBeNull()
    }
  })

  it('does not take a refusal for "gone"', async () => {
    const id = await new Reconciler(devin, kind).create(kind.wanted)
    const stranger = new Sdk({ base: company.base, token: await company.token('dashboard'), wire: fetchWire })
    await expect(new Reconciler(stranger, kind).read(id)).rejects.toMatchObject({ status: 403 })
    expect(await new Reconciler(devin, kind).read(id)).not.toBeNull()
  })
})

describe('a reconciler', () => {
  it('tells null from absent: what it does not name stays, what it names null is cleared', async () => {
    const tool = new Reconciler(devin, kinds[2] ?? failed())
    const id = await tool.create({ ...kinds[2]?.wanted, tags: ['a'] })
    await tool.update(id, { prompt: 'other' })
    expect(await tool.read(id)).toMatchObject({ prompt: 'other', name: 'Weekly', tags: ['a'] })
  })

  it('never sees the value of a secret again', async () => {
    const secrets = await devin.ask('GET', of('secrets'))
    expect(secrets.status).toBe(200)
    expect(secrets.body.toString()).toContain('REGISTRY')
    expect(secrets.body.toString()).not.toContain('do-not-show-me')
  })
})

function failed(): never {
  throw new Error('no such kind')
}
