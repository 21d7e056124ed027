// Rotations that are cut off, refused, disturbed and taken up again, at every effect, against the simulator's own state.

import { describe, expect, test } from 'vitest'
import { createDevinKeys, DevinFault, type AskDevin } from '../../../src/keys/rotation/devin-keys.ts'
import type { RotationParts } from '../../../src/keys/rotation/parts.ts'
import {
  canGoBack,
  fingerprintOf,
  isOver,
  namesOf,
  RotationFault,
  type Rotation,
} from '../../../src/keys/rotation/rotation.ts'
import { runRotation } from '../../../src/keys/rotation/steps/run.ts'
import { Secret } from '../../../src/keys/secret.ts'
import { SourceFault } from '../../../src/keys/sources/source.ts'
import { origin, rotating, simulateDevin } from './simulated-devin.ts'

const oldValue = 'cog_old-value-0123456789abcdef'
const place = 'the file /etc/keys/analytics'

/** The process is gone: nothing more is done. */
class Crash extends Error {}

/** What happens at an effect: `before` and `after` say whether it is done. `late`: it is done at the next start. */
type Trouble =
  | { readonly kind: 'crash' | 'fails'; readonly when: 'before' | 'after' | 'late' }
  | { readonly kind: 'by-hand'; readonly what: 'old' | 'new' | 'source' | 'restored' }
  | { readonly kind: 'clock'; readonly ms: number }
  /** Revocations that were on their way arrive. */
  | { readonly kind: 'arrival' }

interface World {
  readonly devin: ReturnType<typeof simulateDevin>
  kept: string
  journal: string
  /** What is still on its way when the process is gone. */
  readonly late: { readonly effect: string; readonly arrive: () => void }[]
  readonly lateWrites: (() => void)[]
  /** Values that somebody revoked by hand. */
  readonly byHand: Set<string>
  /** Values that a late write has put over one that somebody put there: only the next look of the rotation can notice. */
  readonly overwriting: Set<string>
  /** In use by requests, and the values that were tried by a share of them. */
  used: string
  readonly broken: string[]
  /** The most keys that were active at one time. */
  mostActive: number
  /** `aheadMs`: of this machine, before Devin's. */
  readonly clock: { nowMs: number; aheadMs: number }
}

function startWorld(): World {
  const clock = { nowMs: Date.UTC(2026, 10, 27, 12), aheadMs: 0 }
  const world: World = {
    clock,
    devin: simulateDevin(oldValue, () => clock.nowMs),
    kept: oldValue,
    journal: '',
    late: [],
    lateWrites: [],
    byHand: new Set(),
    overwriting: new Set(),
    used: oldValue,
    broken: [],
    mostActive: 0,
  }
  const [old] = world.devin.keys()
  const secret = new Secret(oldValue, origin)
  const begun: Rotation = {
    id: 'r-1',
    key: 'analytics',
    serviceUser: 'analytics',
    by: 'ann',
    beganAtMs: world.clock.nowMs,
    endedAtMs: null,
    phase: 'creating',
    old: { apiKeyId: old?.id ?? '', fingerprint: fingerprintOf(secret, { id: 'r-1' }) },
    created: [],
    fresh: null,
    lifetimeMs: null,
    reason: null,
    fault: null,
    failures: 0,
    notes: [],
  }
  world.journal = JSON.stringify(begun)
  return world
}

/** Holds after every effect, whatever happens: what the source gives works, and what requests use does. */
function look(world: World, at: string): void {
  world.mostActive = Math.max(world.mostActive, world.devin.activeKeys().length)
  for (const [who, value] of [
    ['the source gives', world.kept],
    ['requests use', world.used],
  ] as const)
    if (!world.devin.accepts(value) && !world.byHand.has(value) && !world.overwriting.has(value))
      world.broken.push(`${who} a key that does not work, after ${at}`)
}

/** What was on its way arrives at Devin. */
function arrive(world: World, isMeant: (effect: string) => boolean = () => true): void {
  const arriving = world.late.filter(({ effect }) => isMeant(effect))
  world.late.splice(0, world.late.length, ...world.late.filter(({ effect }) => !isMeant(effect)))
  for (const each of arriving) each.arrive()
}

/** A request may still be on its way when nobody waits for it any more; what is done here is done or not. */
function isOutside(effect: string): boolean {
  return effect.startsWith('beta.') || effect === 'source.write'
}

/** One process: it goes on from the journal. `troubles` says what happens at which effect. */
function startProcess(world: World, troubles: (index: number, effect: string) => Trouble | null = () => null) {
  let effects = 0
  let isGone = false
  const seen: string[] = []

  async function effect<T>(name: string, work: () => T | Promise<T>, fault: () => Error): Promise<T> {
    await Promise.resolve()
    if (isGone) throw new Crash()
    const trouble = troubles(effects, name)
    effects += 1
    seen.push(name)
    if (trouble?.kind === 'clock') world.clock.nowMs += trouble.ms
    if (trouble?.kind === 'by-hand') actByHand(world, trouble.what)
    if (trouble?.kind === 'arrival') arrive(world, (each) => each.endsWith('.revoke'))
    const isLate = trouble !== null && 'when' in trouble && trouble.when === 'late' && isOutside(name)
    if (isLate) {
      const done = (): void => void Promise.resolve(work()).catch(() => {})
      if (name === 'source.write') world.lateWrites.push(done)
      else world.late.push({ effect: name, arrive: done })
    }
    if (trouble !== null && 'when' in trouble && trouble.when !== 'after') {
      if (trouble.kind === 'fails') throw fault()
      isGone = true
      throw new Crash()
    }
    const result = await work()
    look(world, name)
    if (trouble !== null && 'when' in trouble) {
      if (trouble.kind === 'fails') throw fault()
      isGone = true
      throw new Crash()
    }
    return result
  }

  const noSpace = (): Error => new Error('no space is left on the disk')
  const sealed = (): Error => new SourceFault('unavailable', `${place} does not answer: it is sealed`)
  const silent = (): Error => new DevinFault('unavailable', 'Devin did not answer in time')
  const ask: AskDevin = (request, value, signal) =>
    effect(request.operation, () => world.devin.ask(request, value, signal), silent)
  const controller = new AbortController()
  const parts: RotationParts = {
    source: {
      place,
      read: () => effect('source.read', () => ({ text: world.kept, version: null }), sealed),
      write: (text) => effect('source.write', () => void (world.kept = text), sealed),
    },
    devin: createDevinKeys(ask, () => rotating),
    fleet: {
      hold() {},
      tryOut: (value) =>
        effect('fleet.try', () => ({ answered: 20, isRejected: !world.devin.accepts(value.reveal(origin)) }), sealed),
      use: (value) => effect('fleet.use', () => void (world.used = value.reveal(origin)), sealed),
      settled: 'settled',
      release() {},
    },
    journal: {
      write: (rotation) => effect('journal.write', () => void (world.journal = JSON.stringify(rotation)), noSpace),
    },
    clock: {
      now: () => world.clock.nowMs + world.clock.aheadMs,
      sleep: (ms) => {
        world.clock.nowMs += ms
        return Promise.resolve()
      },
    },
    secretOf: (text) => new Secret(text, origin),
    origin,
    // It never rejects, and says whether the entry is on the disk.
    audit: () =>
      effect('audit', () => true, noSpace).catch((error: unknown) => {
        if (error instanceof Crash) throw error
        return false
      }),
    tell() {},
    onStep() {},
    signal: controller.signal,
  }
  return {
    seen,
    /** Null: the process was gone before the end. */
    async run(
      change: (rotation: Rotation) => Rotation = (rotation) => rotation,
    ): Promise<Rotation | RotationFault | null> {
      // A write that nobody waits for any more arrives before the next process has started.
      for (const write of world.lateWrites.splice(0)) {
        const isForeign = world.kept === foreign.get(world)
        write()
        if (isForeign) world.overwriting.add(world.kept)
      }
      // A process that starts reads from the source what its requests use.
      world.used = world.kept
      const rotation = change(JSON.parse(world.journal) as Rotation)
      world.journal = JSON.stringify(rotation)
      const ended = await runRotation(rotation, parts).catch((error: unknown) => error as Error)
      if (isGone) return null
      return ended as Rotation | RotationFault
    },
  }
}

function actByHand(world: World, what: 'old' | 'new' | 'source' | 'restored'): void {
  if (what === 'source') {
    world.kept = foreignKey(world)
    return
  }
  if (what === 'restored') {
    world.kept = oldValue
    return
  }
  const value = what === 'old' ? oldValue : world.kept === oldValue ? null : world.kept
  if (value === null) return
  world.byHand.add(value)
  world.devin.revoke(value)
}

const foreign = new WeakMap<World, string>()
function foreignKey(world: World): string {
  const value = foreign.get(world) ?? world.devin.issue('by hand')
  foreign.set(world, value)
  return value
}

/** Starts processes without trouble until the rotation is over. */
async function recover(world: World, change?: (rotation: Rotation) => Rotation): Promise<Rotation> {
  arrive(world)
  for (let starts = 0; starts < 4; starts += 1) {
    const rotation = JSON.parse(world.journal) as Rotation
    if (isOver(rotation)) return rotation
    await startProcess(world).run(starts === 0 ? change : undefined)
  }
  return JSON.parse(world.journal) as Rotation
}

const undo = (rotation: Rotation): Rotation =>
  !canGoBack(rotation) || isOver(rotation) ? rotation : { ...rotation, phase: 'undoing' }

/** What has to hold when all is over. */
function verdict(world: World, rotation: Rotation): string[] {
  const found = [...world.broken]
  const active = world.devin.activeKeys()
  const ours = active.filter(({ name }) => name.startsWith(namesOf(rotation)))
  if (!isOver(rotation)) found.push(`not over: ${rotation.phase}, ${rotation.fault?.text ?? ''}`)
  const spared = rotation.phase === 'done' ? [rotation.fresh] : []
  for (const { id } of ours) if (!spared.includes(id)) found.push(`an orphan: ${id}`)
  if (rotation.phase === 'done' && active.some(({ id }) => id === rotation.old.apiKeyId))
    found.push('the old key is active')
  if (!world.devin.accepts(world.kept) && !world.byHand.has(world.kept))
    found.push('the source gives a key that does not work')
  const isOldGone = !active.some(({ id }) => id === rotation.old.apiKeyId) && !world.byHand.has(oldValue)
  // Where somebody has put another value into the source, that one is in use.
  if (rotation.phase === 'undone' && isOldGone && world.kept !== foreign.get(world))
    found.push('the old key was revoked although it was undone')
  if (world.journal.includes('cog_')) found.push('the journal holds a value')
  return found
}

/** Where the journal says that the old key is being revoked: from there on nothing goes back. */
function startOfRevoking(effects: readonly string[]): number {
  return effects.lastIndexOf('journal.write', effects.lastIndexOf('self.get'))
}

async function effectsOf(): Promise<readonly string[]> {
  const process = startProcess(startWorld())
  await process.run()
  return process.seen
}

describe('a rotation', () => {
  test('ends with the new key in the source, in use, and as the only one at Devin', async () => {
    const world = startWorld()
    const ended = await startProcess(world).run()
    expect(ended).toMatchObject({ phase: 'done', fault: null })
    expect(world.devin.activeKeys()).toHaveLength(1)
    expect(world.kept).not.toBe(oldValue)
    expect(world.used).toBe(world.kept)
    expect(verdict(world, ended as Rotation)).toEqual([])
  })

  test('is taken up again after a crash before, after, and in the middle of each effect', async () => {
    const effects = await effectsOf()
    expect(new Set(effects).size).toBeGreaterThan(8)
    for (const when of ['before', 'after', 'late'] as const)
      for (let place = 0; place < effects.length; place += 1) {
        const world = startWorld()
        await startProcess(world, (index) => (index === place ? { kind: 'crash', when } : null)).run()
        const rotation = await recover(world)
        // A key whose value was lost before it was written is revoked before the next one is made.
        if (when === 'after' && place < effects.indexOf('journal.write')) expect(world.mostActive).toBe(2)
        expect({ when, effect: effects[place], place, found: verdict(world, rotation), phase: rotation.phase }).toEqual(
          {
            when,
            effect: effects[place],
            place,
            found: [],
            phase: 'done',
          },
        )
      }
  })

  test('can be undone after a crash at each effect, as long as the old key is not being revoked', async () => {
    const effects = await effectsOf()
    let undone = 0
    for (const when of ['before', 'after'] as const)
      for (let place = 0; place < effects.length; place += 1) {
        const world = startWorld()
        await startProcess(world, (index) => (index === place ? { kind: 'crash', when } : null)).run()
        const rotation = await recover(world, undo)
        expect({ effect: effects[place], found: verdict(world, rotation) }).toEqual({
          effect: effects[place],
          found: [],
        })
        if (rotation.phase !== 'undone') continue
        undone += 1
        expect(world.kept).toBe(oldValue)
      }
    expect(undone).toBeGreaterThan(20)
  })

  test('loses nothing when an effect fails once, and goes on by itself', async () => {
    const effects = await effectsOf()
    for (const when of ['before', 'after', 'late'] as const)
      for (let place = 0; place < effects.length; place += 1) {
        const world = startWorld()
        const ended = await startProcess(world, (index) => (index === place ? { kind: 'fails', when } : null)).run()
        arrive(world)
        expect({ when, effect: effects[place], ended: ended instanceof Error ? ended.message : ended?.phase }).toEqual({
          when,
          effect: effects[place],
          ended: 'done',
        })
        const rotation = await recover(world)
        // What arrives after the end is beyond us; the next rotation finds it by its name.
        if (when !== 'late')
          expect({ effect: effects[place], found: verdict(world, rotation) }).toEqual({
            effect: effects[place],
            found: [],
          })
      }
  })

  test('stops with key, source and step when an effect goes on failing, and is taken up or undone when that has passed', async () => {
    const names = [...new Set(await effectsOf())]
    for (const name of names)
      for (const change of [undefined, undo]) {
        const world = startWorld()
        const ended = await startProcess(world, (_index, effect) =>
          effect === name ? { kind: 'fails', when: 'before' } : null,
        ).run()
        if (name !== 'fleet.use' || !(ended instanceof RotationFault)) expect(ended).toBeInstanceOf(RotationFault)
        expect((ended as Error).message).toMatch(
          /^key "analytics", kept in the file \/etc\/keys\/analytics, step "[^"]+": ./,
        )
        expect(world.devin.accepts(world.kept)).toBe(true)
        const rotation = await recover(world, change)
        expect({ name, found: verdict(world, rotation) }).toEqual({ name, found: [] })
      }
  })

  test('goes back when somebody revokes the new key, as long as the old one is there', async () => {
    const effects = await effectsOf()
    const written = effects.indexOf('source.write') + 1
    for (let place = written; place < startOfRevoking(effects); place += 1) {
      const world = startWorld()
      const ended = await startProcess(world, (index) =>
        index === place ? { kind: 'by-hand', what: 'new' } : null,
      ).run()
      expect({ place, ended: (ended as Rotation).phase, kept: world.kept }).toEqual({
        place,
        ended: 'undone',
        kept: oldValue,
      })
      expect(world.devin.accepts(oldValue)).toBe(true)
      expect((ended as Rotation).reason).toMatch(/reject/)
    }
  })

  test('does not go back to a key that Devin was asked to revoke, whenever the request arrives, and makes another new one', async () => {
    const effects = await effectsOf()
    const asked = effects.indexOf('beta.ent.service-users.api-keys.revoke')
    let ends = 0
    for (const trouble of ['fails', 'crash'] as const)
      for (let place = startOfRevoking(effects); place <= asked + 1; place += 1)
        // Of a process that is gone nothing arrives before the next one starts.
        for (let arrival = asked + 1; arrival < asked + (trouble === 'crash' ? 2 : 24); arrival += 1) {
          const world = startWorld()
          const ended = await startProcess(world, (index) => {
            if (index === arrival) return { kind: 'arrival' }
            if (index === place) actByHand(world, 'new')
            return index === asked ? { kind: trouble, when: 'late' } : null
          }).run()
          if (ended !== null && world.late.length === 0) ends += 1
          const rotation = await recover(world)
          expect({ trouble, place, arrival, phase: rotation.phase, found: verdict(world, rotation) }).toEqual({
            trouble,
            place,
            arrival,
            phase: 'done',
            found: [],
          })
          expect(world.devin.accepts(world.kept)).toBe(true)
          expect(world.kept).not.toBe(oldValue)
        }
    expect(ends).toBeGreaterThan(20)
  })

  test('stops when somebody revokes every new key that it makes', async () => {
    const world = startWorld()
    const ended = await startProcess(world, () => {
      if ((JSON.parse(world.journal) as Rotation).phase === 'revoking') actByHand(world, 'new')
      return null
    }).run()
    expect(ended).toBeInstanceOf(RotationFault)
    expect((ended as Error).message).toContain('5 new keys were created, and the source gives none that works')
    expect(JSON.parse(world.journal)).toMatchObject({ phase: 'creating', failures: 1 })
  })

  test('does not end with the old value that somebody puts back while its key is being revoked', async () => {
    const effects = await effectsOf()
    const asked = effects.indexOf('beta.ent.service-users.api-keys.revoke')
    for (const before of [null, 'source'] as const)
      for (let place = asked + 1; place < asked + 6; place += 1)
        for (let arrival = place; arrival < place + 20; arrival += 1) {
          const world = startWorld()
          await startProcess(world, (index) => {
            if (index === asked) return { kind: 'fails', when: 'late' }
            if (index === asked + 1 && before !== null) actByHand(world, before)
            if (index === place) actByHand(world, 'restored')
            return index === arrival ? { kind: 'arrival' } : null
          }).run()
          const rotation = await recover(world)
          const works = world.devin.accepts(world.kept)
          const isOld = world.kept === oldValue
          const said = { before, place, arrival, phase: rotation.phase }
          // What is put back after the last look of the rotation is beyond it; the identity check finds it.
          if (isOld && isOver(rotation) && place > asked + 4) continue
          expect({ ...said, works, isOld }).toEqual({ ...said, works: true, isOld: false })
        }
  })

  test('goes on when somebody revokes the old key', async () => {
    const effects = await effectsOf()
    for (let place = effects.indexOf('source.write'); place < effects.length; place += 1) {
      const world = startWorld()
      const ended = await startProcess(world, (index) =>
        index === place ? { kind: 'by-hand', what: 'old' } : null,
      ).run()
      expect({ place, ended: (ended as Rotation).phase, works: world.devin.accepts(world.kept) }).toEqual({
        place,
        ended: 'done',
        works: true,
      })
    }
  })

  test('revokes nothing that the source gives when somebody puts the old value back, or another one in', async () => {
    const effects = await effectsOf()
    for (const what of ['restored', 'source'] as const)
      for (let place = 0; place <= effects.lastIndexOf('source.read'); place += 1) {
        const world = startWorld()
        await startProcess(world, (index) => (index === place ? { kind: 'by-hand', what } : null)).run()
        const rotation = await recover(world)
        // Once the old key is revoked, its value is put back in vain, and only a person can help.
        if (what === 'restored' && place >= effects.indexOf('beta.ent.service-users.api-keys.revoke')) continue
        const works = world.devin.accepts(world.kept)
        expect(verdict(world, rotation)).toEqual([])
        expect({ what, effect: effects[place], place, works, broken: world.broken }).toEqual({
          what,
          effect: effects[place],
          place,
          works: true,
          broken: [],
        })
      }
  })

  test('does not write a value that Devin does not accept, and waits for one that it does not know yet', async () => {
    for (const [rejections, phase] of [
      [3, 'done'],
      [Infinity, 'undone'],
    ] as const) {
      const world = startWorld()
      let left: number = rejections
      const { ask } = world.devin
      Object.assign(world.devin, {
        ask: (...[request, value, signal]: Parameters<AskDevin>) =>
          request.operation === 'self.get' && value.reveal(origin) !== oldValue && (left -= 1) >= 0
            ? Promise.resolve({ status: 401, waitMs: 0, body: Buffer.from('{}') })
            : ask(request, value, signal),
      })
      const process = startProcess(world)
      const ended = await process.run()
      expect(ended).toMatchObject({ phase })
      expect(process.seen.includes('source.write')).toBe(phase === 'done')
      expect(verdict(world, ended as Rotation)).toEqual([])
    }
  })

  test('does not take a key that ends early because the clock of this machine is wrong', async () => {
    const day = 86_400_000
    for (const [aheadMs, phase] of [
      [0, 'done'],
      [day, 'done'],
      [-80 * day, 'undone'],
    ] as const) {
      const world = startWorld()
      world.clock.aheadMs = aheadMs
      const ended = await startProcess(world).run((rotation) => ({ ...rotation, lifetimeMs: 90 * day }))
      expect(ended).toMatchObject({ phase })
      if (phase === 'undone') expect((ended as Rotation).reason).toContain('set the clock of this machine')
      expect(verdict(world, ended as Rotation)).toEqual([])
    }
  })

  test('thousands of times: crashes, failures, hands and clocks at random, and no state without a working key, no orphan, no key revoked that the source gives', async () => {
    const seed = Number(process.env['GATEWAY_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
    const random = randomOf(seed)
    const phases = new Map<string, number>()
    for (let run = 0; run < 2000; run += 1) {
      const world = startWorld()
      const log: string[] = []
      const isHandsOff = random() < 0.7
      const troubles = (index: number, effect: string): Trouble | null => {
        const trouble = random() < 0.12 ? randomTrouble(random, isHandsOff) : null
        if (trouble !== null) log.push(`${index} ${effect} ${JSON.stringify(trouble)}`)
        return trouble
      }
      for (let starts = Math.floor(random() * 4); starts >= 0; starts -= 1) {
        const rotation = JSON.parse(world.journal) as Rotation
        if (isOver(rotation)) break
        await startProcess(world, troubles).run(random() < 0.1 ? undo : undefined)
        // What arrives after the end is found by its name, by the next rotation.
        if (isOver(JSON.parse(world.journal) as Rotation)) world.late.length = 0
        if (random() < 0.5) arrive(world)
      }
      const rotation = await recover(world, random() < 0.3 ? undo : undefined)
      phases.set(rotation.phase, (phases.get(rotation.phase) ?? 0) + 1)
      // Where somebody has revoked by hand what the source gives, and the other one too, only a person can go on.
      const found = isOver(rotation) || world.byHand.size === 0 ? verdict(world, rotation) : world.broken
      if (found.length > 0) expect({ seed, run, log, found }).toEqual({ seed, run, log, found: [] })
    }
    expect(phases.get('done')).toBeGreaterThan(300)
    expect(phases.get('undone')).toBeGreaterThan(100)
  })
})

function randomTrouble(random: () => number, isHandsOff: boolean): Trouble {
  const pick = <T>(...of: readonly [T, ...T[]]): T => of[Math.floor(random() * of.length)] ?? of[0]
  const kind = pick('crash', 'fails', 'fails', 'clock', 'arrival', isHandsOff ? 'fails' : 'by-hand')
  if (kind === 'arrival') return { kind }
  if (kind === 'clock') return { kind, ms: pick(-86_400_000, 86_400_000, 3_600_000) }
  if (kind === 'by-hand') return { kind, what: pick('old', 'new', 'source') }
  return { kind, when: pick('before', 'after', 'late') }
}

/** mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
