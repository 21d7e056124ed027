import { describe, expect, it } from 'vitest'
import { parseDuration, parseRate, parseSize } from '../../src/config/units.ts'

describe('a duration', () => {
  it.each([
    ['250ms', 250],
    ['5s', 5000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['1d', 86_400_000],
    ['0s', 0],
  ])('%s is %i milliseconds', (text, value) => {
    expect(parseDuration(text)).toEqual({ value })
  })

  it.each(['5', 's', '', '1.5s', '-1s', '5 s', '5S', '5min', '1h30m', '0x5s', '５s'])(
    'is refused when it reads %j',
    (text) => {
      expect(parseDuration(text)).toEqual({
        error: `${JSON.stringify(text)} is not a duration: write a whole number and a unit, like 250ms, 5s, 5m, 24h or 1d`,
      })
    },
  )

  it('is refused beyond exact numbers', () => {
    expect(parseDuration('999999999999999d')).toEqual({ error: '"999999999999999d" is too large' })
  })
})

describe('a size', () => {
  it.each([
    ['1048576', 1_048_576],
    ['10B', 10],
    ['512KiB', 524_288],
    ['64MiB', 67_108_864],
    ['1GiB', 1_073_741_824],
    ['2kB', 2000],
    ['2KB', 2000],
    ['10MB', 10_000_000],
    ['1GB', 1_000_000_000],
    ['0', 0],
  ])('%s is %i bytes', (text, value) => {
    expect(parseSize(text)).toEqual({ value })
  })

  it.each(['', 'MiB', '1.5MiB', '64 MiB', '64mib', '64M', '1e6', '-1'])('is refused when it reads %j', (text) => {
    expect(parseSize(text)).toEqual({
      error: `${JSON.stringify(text)} is not a size: write a number of bytes, or a whole number and a unit, like 512KiB, 64MiB, 1GiB or 10MB`,
    })
  })
})

describe('a rate', () => {
  it.each([
    ['10/s', { amount: 10, perMs: 1000, calendar: null }],
    ['600/min', { amount: 600, perMs: 60_000, calendar: null }],
    ['5/h', { amount: 5, perMs: 3_600_000, calendar: null }],
    ['50/day', { amount: 50, perMs: null, calendar: 'day' }],
    ['20/week', { amount: 20, perMs: null, calendar: 'week' }],
    ['500/month', { amount: 500, perMs: null, calendar: 'month' }],
  ])('%s is understood', (text, value) => {
    expect(parseRate(text)).toEqual({ value })
  })

  const form =
    'write a whole number, a slash and s, min, h, day, week or month, like 10/s, 600/min, 5/h, 50/day or 500/month'

  it.each(['', '600', '600/', '/min', '6.5/min', '600 / min', '600/minute'])('is refused when it reads %j', (text) => {
    expect(parseRate(text)).toEqual({ error: `${JSON.stringify(text)} is not a rate: ${form}` })
  })

  it('is refused with the nearest unit', () => {
    expect(parseRate('5/mnth')).toEqual({ error: `"5/mnth" is not a rate: ${form}; did you mean "month"?` })
  })

  it('is never nothing', () => {
    expect(parseRate('0/min')).toEqual({
      error: '"0/min" is not a rate: the amount must be at least 1 and at most 2^53-1',
    })
  })
})
