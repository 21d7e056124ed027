// What comes up in one turn of the event loop: in which order it is done, and that nothing is left behind.

import { setImmediate } from 'node:timers/promises'
import { beforeEach, expect, test } from 'vitest'
import { admitInTurn, answerInTurn } from '../../src/gateway/turn.ts'

let done: string[] = []
const note = (what: string) => (): void => void done.push(what)
beforeEach(() => {
  done = []
})

test('nothing is done before the turn ends; then admissions come first, each kind in its order', async () => {
  answerInTurn(note('answer 1'))
  admitInTurn(note('admission 1'))
  answerInTurn(note('answer 2'))
  admitInTurn(note('admission 2'))
  await Promise.resolve()
  expect(done).toEqual([])
  await setImmediate()
  expect(done).toEqual(['admission 1', 'admission 2', 'answer 1', 'answer 2'])
})

test('what an admission answers leaves in the same turn, behind all admissions', async () => {
  admitInTurn(() => answerInTurn(note('its answer')))
  admitInTurn(note('the next admission'))
  await setImmediate()
  expect(done).toEqual(['the next admission', 'its answer'])
})

test('what comes up while a turn ends is done in the next one', async () => {
  admitInTurn(() => admitInTurn(note('admission')))
  answerInTurn(() => answerInTurn(note('answer')))
  await setImmediate()
  expect(done).toEqual([])
  await setImmediate()
  expect(done).toEqual(['admission', 'answer'])
})
