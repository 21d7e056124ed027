// Names that two programs may read differently: what a name comes to for the most lenient of them. A name that folds to one
// that a rule looks at, and is not spelled as that one, is refused wherever names of requests are read.

const plain = /^[a-z0-9]*$/
// Control characters are in ASCII, too.
// oxlint-disable-next-line no-control-regex
const ascii = /^[\u0000-\u007f]*$/
const notInNames = /[^\p{L}\p{N}]|\p{Default_Ignorable_Code_Point}/gu
/** `name[]`, `name[0]`, `name[a][b]` and `name.0` are the list or object `name` to many servers. */
const asList = /(?<=[^[])\[.*$|[.:]\p{Nd}+$/su

/**
 * The name without what readers may overlook: compatibility forms (NFKC), case, marks, separators, white space, controls,
 * invisible characters, brackets and what is in them. Names that fold alike may be taken for each other. Folding a folded
 * name changes nothing.
 */
export function foldName(name: string): string {
  if (plain.test(name)) return name
  if (ascii.test(name))
    return name
      .replace(asList, '')
      .replaceAll(/[^A-Za-z0-9]+/g, '')
      .toLowerCase()
  const letters = lettersOf(name.normalize('NFKD').replace(asList, ''))
  // By way of capitals: the long s and the dotless i are an s and an i then.
  return lettersOf(letters.toUpperCase().toLowerCase())
}

function lettersOf(text: string): string {
  return text.normalize('NFKD').replaceAll(notInNames, '')
}

/** The same for the raw name of a query parameter, with every escape taken off that some server takes off. */
export function foldParameterName(rawName: string): string {
  let name = rawName
  for (let layers = 0; layers < mostLayers && name.includes('%'); layers += 1) name = unescaped(name)
  return foldName(name)
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

/** A name of a caller's for a message: short, in quotes, and printable ASCII alone. */
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
