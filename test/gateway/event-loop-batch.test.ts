// One event-loop turn is one batch: its order, and that nothing is left behind.

import { setImmediate } from 'node:timers/promises'
import { beforeEach, expect, test } from 'vitest'
import { scheduleAdmission, scheduleWrite } from '../../src/gateway/event-loop-batch.ts'

let done: string[] = []
const note = (what: string) => (): void => void done.push(what)
beforeEach(() => {
  done = []
})

test('nothing is done before the batch ends; then admissions come first, each kind in its order', async () => {
  scheduleWrite(note('answer 1'))
  scheduleAdmission(note('admission 1'))
  scheduleWrite(note('answer 2'))
  scheduleAdmission(note('admission 2'))
  await Promise.resolve()
  expect(done).toEqual([])
  await setImmediate()
  expect(done).toEqual(['admission 1', 'admission 2', 'answer 1', 'answer 2'])
})

test('what an admission answers leaves in the same batch, behind all admissions', async () => {
  scheduleAdmission(() => scheduleWrite(note('its answer')))
  scheduleAdmission(note('the next admission'))
  await setImmediate()
  expect(done).toEqual(['the next admission', 'its answer'])
})

test('what comes up while a batch is done belongs to the next', async () => {
  scheduleAdmission(() => scheduleAdmission(note('admission')))
  scheduleWrite(() => scheduleWrite(note('answer')))
  await setImmediate()
  expect(done).toEqual([])
  await setImmediate()
  expect(done).toEqual(['admission', 'answer'])
})

test('an uncaught error delays the others by one batch, and nothing more', async () => {
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const seen: unknown[] = []
  process.on('uncaughtException', (error) => seen.push(error))
  try {
    const [first, second] = [new Error('first'), new Error('second')]
    scheduleAdmission(() => {
      throw first
    })
    scheduleAdmission(note('admission'))
    scheduleWrite(() => {
      throw second
    })
    scheduleWrite(note('answer'))
    for (let turns = 0; turns < 4; turns++) await setImmediate()
    expect(seen).toEqual([first, second])
    expect(done).toEqual(['admission', 'answer'])
    scheduleAdmission(note('later'))
    await setImmediate()
    expect(done.at(-1)).toBe('later')
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const listener of listeners) process.on('uncaughtException', listener)
  }
})
