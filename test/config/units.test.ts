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

  it.each([
    ...['5', 's', '', '1.5s', '-1s', '1h30m', '0x5s', '５s'].map((text) => [text, null] as const),
    ['5 s', '5s'],
    ['5S', '5s'],
    ['5min', '5m'],
    ['30secs', '30s'],
    ['2 hours', '2h'],
    ['7 Days', '7d'],
  ] as const)('is refused when it reads %j, with the unit that is meant', (text, meant) => {
    expect(parseDuration(text)).toEqual({
      error: `${JSON.stringify(text)} is not a duration: write a whole number and a unit, like 250ms, 5s, 5m, 24h or 1d${meant === null ? '' : `; did you mean "${meant}"?`}`,
    })
  })

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

  it.each([
    ...['', 'MiB', '1.5MiB', '1e6', '-1'].map((text) => [text, null] as const),
    ['64 MiB', '64MiB'],
    ['64mib', '64MiB'],
    ['64M', '64MiB'],
    ['512k', '512KiB'],
    ['1gb', '1GB'],
  ] as const)('is refused when it reads %j, with the unit that is meant', (text, meant) => {
    expect(parseSize(text)).toEqual({
      error: `${JSON.stringify(text)} is not a size: write a number of bytes, or a whole number and a unit, like 512KiB, 64MiB, 1GiB or 10MB${meant === null ? '' : `; did you mean "${meant}"?`}`,
    })
  })

  it.each(['64', '1', '999'])('is refused without a unit when it is as small as %s', (text) => {
    expect(parseSize(text)).toEqual({
      error: `"${text}" has no unit: write ${text}MiB or ${text}KiB, or ${text}B where so few bytes are meant`,
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

  it.each([
    ...['', '600/', '/min', '6.5/min', '5/year'].map((text) => [text, null] as const),
    ['600', '600/min'],
    ['600 / min', '600/min'],
    ['600/minute', '600/min'],
    ['60/m', '60/min'],
    ['5 per day', '5/day'],
    ['5/Hours', '5/h'],
  ] as const)('is refused when it reads %j, with what is meant', (text, meant) => {
    expect(parseRate(text)).toEqual({
      error: `${JSON.stringify(text)} is not a rate: ${form}${meant === null ? '' : `; did you mean "${meant}"?`}`,
    })
  })

  it('without a window is one of a month where only windows of the calendar count', () => {
    expect(parseRate('500', 'month')).toEqual({ error: `"500" is not a rate: ${form}; did you mean "500/month"?` })
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
