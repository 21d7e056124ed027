// Exact comparison of numbers by their JSON texts, so that 25.000000000000000001 is above 25 and 1e400 is no infinity.

/** A number of RFC 8259 section 6, alone. */
const numberForm = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/

/** Whether a text is a number in JSON's grammar. */
export function isNumberText(text: string): boolean {
  return numberForm.test(text)
}

/** Negative, zero or positive as `a` is below, equal to or above `b`; both are texts in JSON's grammar. */
export function compareNumbers(a: string, b: string): number {
  const [left, right] = [partsOf(a), partsOf(b)]
  if (left.sign !== right.sign) return left.sign - right.sign
  return left.sign * compareMagnitudes(left, right)
}

interface Parts {
  readonly sign: -1 | 0 | 1
  /** Significant digits, without zeros at either end. */
  readonly digits: string
  /** Power of ten in front of 0.digits. */
  readonly power: number
}

function partsOf(text: string): Parts {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const written = whole + fraction
  const digits = withoutZerosAtEnd(written.replace(/^0+/, ''))
  if (digits === '') return { sign: 0, digits, power: 0 }
  const leading = written.length - written.replace(/^0+/, '').length
  return { sign: text.startsWith('-') ? -1 : 1, digits, power: Number(exponent) + whole.length - leading }
}

/** By a loop: `/0+$/` tries every run of zeros anew. */
function withoutZerosAtEnd(digits: string): string {
  let end = digits.length
  while (digits[end - 1] === '0') end -= 1
  return digits.slice(0, end)
}

function compareMagnitudes(a: Parts, b: Parts): number {
  if (a.power !== b.power) return a.power < b.power ? -1 : 1
  return a.digits === b.digits ? 0 : a.digits < b.digits ? -1 : 1
}
