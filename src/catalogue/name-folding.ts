// Folds names to the form in which the most lenient server compares them. A name that folds to one that a rule looks
// at, and is not spelled as that one, is refused wherever names of requests are read.

const plain = /^[a-z0-9]*$/
/** Marks, controls, spaces and invisible characters are removed. */
const dropped = /[\p{M}\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]+/uy
const notInNames = /[^\p{L}\p{N}]|\p{Default_Ignorable_Code_Point}/gu
/** `name.0` is an item of the list `name` to some servers. */
const asItem = /[.:]\p{Nd}+$/u

/**
 * The name without what readers may overlook: compatibility forms (NFKC), case, marks, separators, white space,
 * controls, invisible characters, and brackets with what is behind them. Names that fold alike may be taken for each
 * other. Folding a folded name changes nothing. Stops after `most` letters: a longer name matches none of the
 * compared ones.
 */
export function foldName(name: string, most = Number.POSITIVE_INFINITY): string {
  if (plain.test(name)) return name
  const end = /\p{Nd}$/u.test(name) ? name.replace(asItem, '').length : name.length
  let folded = ''
  for (let at = 0; at < end && folded.length <= most;) {
    const code = name.charCodeAt(at)
    if (code < 0x80) {
      if (code === openBracket && folded !== '') break
      folded += asciiLetter(code)
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

const openBracket = 0x5b

/** The letter in lower case, or the digit; empty for any other character. */
function asciiLetter(code: number): string {
  const isCapital = code >= 0x41 && code <= 0x5a
  const isKept = isCapital || (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)
  return isKept ? String.fromCharCode(isCapital ? code + 0x20 : code) : ''
}

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
  if (!step.test(name)) return
  let folded = ''
  for (const part of name.split(step).slice(0, -1)) {
    if (part === '') continue
    folded += foldName(part, most - folded.length)
    if (folded.length > most) return
    if (folded !== '') yield folded
  }
}

const step = /[.:/\u2024\ufe52\uff0e\uff0f\uff1a]/

/**
 * Whether a text begins with another one for a reader who overlooks what is overlooked in names. Punctuation counts, so that
 * `teammates` does not begin like `team:`; the separators `_`, `-`, `.` and white space do not. False where nothing is left of
 * the beginning.
 */
export function beginsLike(text: string, beginning: string): boolean {
  const wanted = foldText(beginning, beginning.length)
  return wanted !== '' && foldText(text, wanted.length).startsWith(wanted)
}

/** The first letters, digits and punctuation of a text, at least `most` of them where there are as many. */
function foldText(text: string, most: number): string {
  let folded = ''
  for (let at = 0; at < text.length && folded.length < most;) {
    overlooked.lastIndex = at
    if (overlooked.test(text)) at = overlooked.lastIndex
    else {
      const character = String.fromCodePoint(text.codePointAt(at) ?? 0)
      folded += caseless(character.normalize('NFKD'))
      at += character.length
    }
  }
  return folded
}

const overlooked = /[\p{M}\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\p{Pd}\p{Pc}\ufffd.]+/uy
/** Letters and punctuation that look like a colon. */
const colons = /[\u02d0\u0589\u05c3\u2236\ua789]/g

function caseless(compatible: string): string {
  const cased = withoutCase(compatible.replaceAll(colons, ':')).normalize('NFKD')
  return cased.replaceAll(/[\p{M}\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\p{Pd}\p{Pc}\ufffd.]+/gu, '')
}

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
const longestParameter = 256

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
