// Folds names to the form in which the most lenient server compares them. A name that folds to one that a rule looks
// at, and is not spelled as that one, is refused wherever names of requests are read.

const plain = /^[a-z0-9]*$/
/** Marks, controls, spaces and invisible characters are removed. */
const dropped = /[\p{M}\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]+/uy
const notInNames = /[^\p{L}\p{N}]|\p{Default_Ignorable_Code_Point}/gu

/**
 * The name without what readers may overlook: compatibility forms (NFKC), case, marks, separators, white space,
 * controls, invisible characters, and brackets with what is behind them. Names that fold alike may be taken for each
 * other. Folding a folded name changes nothing. Stops after `most` letters: a longer name matches none of the
 * compared ones.
 */
export function foldName(name: string, most = Number.POSITIVE_INFINITY): string {
  if (plain.test(name)) return name
  const end = endOf(name)
  let folded = ''
  for (let at = 0; at < end && folded.length <= most;) {
    const code = name.charCodeAt(at)
    if (code < 0x80) {
      if (code === openBracket && folded !== '') break
      folded += asciiLetters[code] ?? ''
      at += 1
      continue
    }
    dropped.lastIndex = at
    if (dropped.test(name)) {
      at = dropped.lastIndex
      continue
    }
    const character = String.fromCodePoint(name.codePointAt(at) ?? 0)
    const compatible = character.normalize('NFKD')
    if (compatible === '[' && folded !== '') break
    folded += lettersOf(compatible)
    at += character.length
  }
  return folded
}

const digits = /^\p{Nd}+$/u

/** `name.0` is an item of the list `name` to some servers. */
function endOf(name: string): number {
  const last = Math.max(name.lastIndexOf('.'), name.lastIndexOf(':'))
  return last !== -1 && digits.test(name.slice(last + 1)) ? last : name.length
}

const openBracket = 0x5b

/** The letter in lower case, or the digit; empty for any other character. */
const asciiLetters = Array.from({ length: 0x80 }, (_, code) =>
  String.fromCharCode(code)
    .replace(/[^A-Za-z0-9]/, '')
    .toLowerCase(),
)

function lettersOf(compatible: string): string {
  const letters = compatible.replaceAll(notInNames, '')
  return withoutCase(letters).normalize('NFKD').replaceAll(notInNames, '')
}

/** Through upper case, so that the long s and the dotless i become s and i; the capital sharp s has one from lower case only. */
function withoutCase(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase()
}

/**
 * What stands before each separator of steps (`name.0.key`), folded: some servers read `name` there, as before a bracket. Ends
 * behind `most` letters.
 */
export function* foldedHolders(name: string, most: number): Generator<string> {
  if (!hasSteps(name)) return
  let folded = ''
  for (const part of name.split(step).slice(0, -1)) {
    if (part === '') continue
    folded += foldName(part, most - folded.length)
    if (folded.length > most) return
    if (folded !== '') yield folded
  }
}

/** Whether some servers read a name as one step behind the other. */
export function hasSteps(name: string): boolean {
  return step.test(name)
}

const step = /[.:/\u2024\ufe52\uff0e\uff0f\uff1a]/

/** A beginning of texts as `beginsLike` compares it; null where nothing is left of it. */
export function foldedBeginning(beginning: string): string | null {
  const folded = [...beginning].map(foldCharacter).join('')
  return folded === '' ? null : folded
}

/**
 * Whether the part of a text from `start` to `end` begins with a folded beginning for a reader who overlooks what is overlooked
 * in names. Punctuation counts, so that `teammates` does not begin like `team:`; the separators `_`, `-`, `.` and white space do
 * not. Reads no further than the first character that differs, and asks `mayFold` before each one outside ASCII, which take
 * long: without leave the text is taken for one that begins so.
 */
export function beginsLike(text: string, folded: string, start: number, end: number, mayFold: () => boolean): boolean {
  let matched = 0
  for (let at = start; at < end;) {
    const code = text.codePointAt(at) ?? 0
    let character = asciiFolds[code]
    if (character === undefined) {
      if (!mayFold()) return true
      character = foldCharacter(String.fromCodePoint(code))
    }
    at += code > 0xffff ? 2 : 1
    if (character === '') continue
    if (!folded.startsWith(character, matched)) return character.startsWith(folded.slice(matched))
    matched += character.length
    if (matched === folded.length) return true
  }
  return false
}

/**
 * Finds the pieces of a text that may begin so, each from the separator before it: those that do, and those with a character
 * outside ASCII before that is decided. Takes time linear in the text: separators are not overlooked in a piece.
 */
export function piecesLike(folded: string, separators: string): RegExp {
  const overlooked = `${asciiClass('', separators)}*`
  const others = [...folded].reduceRight(
    (behind, character) => `${overlooked}(?:[^\\u0000-\\u007f]|${asciiClass(character, separators)}${behind})`,
    '',
  )
  // The look-ahead says nothing new: with it the engine passes empty pieces faster.
  return new RegExp(`[${separators}](?![${separators}])${others}`, 'g')
}

/** The ASCII characters that fold to this. */
function asciiClass(fold: string, without: string): string {
  const codes = asciiFolds.flatMap((each, code) =>
    each === fold && !without.includes(String.fromCharCode(code)) ? [code.toString(16).padStart(4, '0')] : [],
  )
  return `[${codes.map((code) => `\\u${code}`).join('')}]`
}

/** The letter, digit or punctuation without case; empty for what is overlooked. */
function foldCharacter(character: string): string {
  const cased = withoutCase(character.normalize('NFKD').replaceAll(colons, ':'))
  return cased.normalize('NFKD').replaceAll(overlooked, '')
}

const overlooked = /[\p{M}\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\p{Pd}\p{Pc}\ufffd.]+/gu
/** Letters and punctuation that look like a colon. */
const colons = /[\u02d0\u0589\u05c3\u2236\ua789]/g
const asciiFolds = Array.from({ length: 0x80 }, (_, code) => foldCharacter(String.fromCharCode(code)))

/** `foldName` of the raw name of a query parameter, with every escape taken off that some server takes off. */
export function foldParameterName(rawName: string): string {
  return foldName(withoutEscapes(rawName))
}

/** `foldParameterName`, and the same of the holders in the name. */
export function parameterReadings(rawName: string): readonly string[] {
  const name = withoutEscapes(rawName)
  const folded = foldName(name)
  return [...new Set([folded, ...foldedHolders(name, longestParameter)])]
}

/** No name of the API or of a rule is longer. */
const longestParameter = 128

function withoutEscapes(rawName: string): string {
  let name = rawName
  for (let layers = 0; layers < mostLayers && name.includes('%'); layers += 1) name = unescaped(name)
  return name
}

/** Servers behind servers that decode once more; escapes in deeper layers stay, and spell no name. */
const mostLayers = 4
const escapes = /%u([0-9a-f]{4})|(?:%[0-9a-f]{2})+/gi

/** Bytes that are not UTF-8 become U+FFFD, which folding drops, as servers do that ignore them. */
function unescaped(text: string): string {
  return text.replaceAll(escapes, (escape, code: string | undefined) =>
    code === undefined
      ? Buffer.from(escape.replaceAll('%', ''), 'hex').toString('utf8')
      : String.fromCharCode(Number.parseInt(code, 16)),
  )
}

/** A caller's name for a message: shortened, quoted, printable ASCII only. */
export function quotedName(name: string): string {
  const plain = name
    .slice(0, mostShown)
    .replaceAll(/[^ -~]|["\\]/gu, (character) =>
      character === '"' || character === '\\' ? `\\${character}` : escapeOf(character),
    )
  return `"${plain}${name.length > mostShown ? '…' : ''}"`
}

const mostShown = 64

function escapeOf(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}
