// The matrix as one HTML file that needs nothing from outside. Pure.

import { createHash } from 'node:crypto'
import { counted } from '../../config/plural.ts'
import type { LastUses, Matrix } from './matrix.ts'

export interface PageAbout {
  readonly revision: string
  readonly madeAt: string
  /** Whether decision records say what was used. */
  readonly hasLog: boolean
}

/** The whole file. Its policy lets no script run but its own, and nothing be fetched. */
export function matrixPage(matrix: Matrix, uses: LastUses | null, about: PageAbout): string {
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${digest(style)}'`,
    `script-src 'sha256-${digest(script)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  const data = JSON.stringify(packed(matrix, uses)).replaceAll('<', String.raw`\u003c`)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Who may do what</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>Who may do what</h1>
<p>Policy revision <code>${escaped(about.revision)}</code>, ${escaped(about.madeAt)}. ${counted(matrix.decided, 'cell')} decided, each an operation for a class of callers in an organization${matrix.undecided > 0 ? `, <strong>${matrix.undecided} could not be</strong>` : ''}. What is not listed is denied. <code>org-any-other</code> stands for every organization that the policies do not name.${about.hasLog ? '' : ' No decision log was given, so nothing is said of use.'}</p>
<form role="search">
<label>Search <input id="search" type="search" placeholder="words, all of which must occur ( / )" autocomplete="off"></label>
<label>Team <select id="team"><option value="">all</option></select></label>
<label>Organization <select id="organization"><option value="">all</option></select></label>
<label>Effect <select id="effect"><option value="">all</option><option>allow</option><option>deny</option></select></label>
<label>Use <select id="use"${about.hasLog ? '' : ' disabled'}><option value="">all</option><option value="used">used</option><option value="unused">never used</option></select></label>
<label>Colours <select id="colours"><option value="light dark">as the system</option><option>light</option><option>dark</option></select></label>
</form>
<p id="count" role="status"></p>
</header>
<main tabindex="-1"><table><thead><tr id="head"></tr></thead><tbody id="rows"></tbody></table>
<p><button id="more" type="button" hidden>Show more</button></p></main>
<noscript><p>The table needs the script of this file. <code>devin-gateway matrix --csv FILE</code> writes the same as a table.</p></noscript>
<script type="application/json" id="data">${data}</script>
<script>${script}</script>
</body>
</html>
`
}

/** Texts once, rows as their numbers. */
function packed(
  { rows }: Matrix,
  uses: LastUses | null,
): { readonly texts: readonly string[]; readonly rows: readonly unknown[] } {
  const numbers = new Map<string, number>([['', 0]])
  const numberOf = (text: string | null): number => {
    const known = numbers.get(text ?? '')
    if (known !== undefined) return known
    numbers.set(text ?? '', numbers.size)
    return numbers.size - 1
  }
  const made = rows.flatMap((row) => {
    // Organizations of one row that were last used at different times stand apart.
    const byUse = new Map<string, (string | null)[]>()
    for (const id of row.organizations) {
      const used = uses?.of(row, id) ?? ''
      byUse.set(used, [...(byUse.get(used) ?? []), id])
    }
    return [...byUse].map(([used, organizations]) => [
      ...[row.team, row.callers, row.operation].map(numberOf),
      organizations.map(numberOf),
      numberOf(row.effect === 'allow' ? 'allow' : `deny (${row.reason})`),
      numberOf(row.effect === 'allow' ? used : ''),
      ...[row.grant, row.key, row.conditions].map(numberOf),
      ...[row.guardrails, row.limits].map((texts) => numberOf(texts.join('; '))),
    ])
  })
  return { texts: [...numbers.keys()], rows: made }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

const style = `
:root{color-scheme:light dark;--ink:light-dark(#1b1f24,#e6e9ed);--soft:light-dark(#5b6570,#9aa5b1);--paper:light-dark(#fff,#14171b);--band:light-dark(#f5f7f9,#1b1f25);--line:light-dark(#d9dfe5,#303842);--good:light-dark(#0b6b3a,#6fd39b);--bad:light-dark(#a3261b,#ff9b8f);--focus:light-dark(#0a58ca,#7fb2ff)}
*{box-sizing:border-box}
body{margin:0;font:14px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
header{position:sticky;top:0;z-index:1;background:var(--paper);border-bottom:1px solid var(--line);padding:1rem 1.25rem .5rem}
h1{font-size:1.25rem;margin:0 0 .25rem}
p{margin:.25rem 0;color:var(--soft)}
form{display:flex;flex-wrap:wrap;gap:.5rem 1rem;margin:.5rem 0}
label{color:var(--soft)}
input,select,button{font:inherit;color:var(--ink);background:var(--band);border:1px solid var(--line);border-radius:.35rem;padding:.25rem .5rem}
input{width:22rem;max-width:70vw}
main{overflow-x:auto;padding:0 1.25rem 2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.35rem .45rem;border-bottom:1px solid var(--line)}
td{font-size:13px}
td:nth-child(3),td:nth-child(n+8){overflow-wrap:anywhere}
td:nth-child(3){min-width:13em}
td:nth-child(2),td:nth-child(4){min-width:8em;max-width:18em}
td:nth-child(6){min-width:6em}
td:nth-child(8),td:nth-child(9){min-width:7em}
td:nth-child(n+10){font-size:12px;min-width:10em}
[hidden]{display:none}
th{white-space:nowrap}
th button{border:0;background:none;font-weight:600;padding:0;cursor:pointer}
tbody tr:nth-child(even){background:var(--band)}
tbody tr:focus,button:focus-visible,input:focus-visible,select:focus-visible{outline:2px solid var(--focus);outline-offset:-2px}
.allow{color:var(--good);font-weight:600}
.deny{color:var(--bad);font-weight:600}
@media print{header{position:static}form,#more{display:none}}
`

const script = `
'use strict'
const data = JSON.parse(document.getElementById('data').textContent)
const names = ['team', 'callers', 'operation', 'organizations', 'effect', 'last used', 'grant', 'key', 'conditions', 'guardrails', 'limits']
const text = (cell) => [cell].flat().map((each) => data.texts[each] || 'none named')
const rows = data.rows.map((row) => {
  const cells = row.map((cell, at) => (at === 3 ? text(cell).join(', ') : data.texts[cell]))
  return { cells, organizations: text(row[3]), all: cells.join('\\n').toLowerCase() }
})
const isEmpty = names.map((_, at) => rows.every((row) => row.cells[at] === ''))
const byId = (id) => document.getElementById(id)
const [search, team, organization, effect, use, colours, body, more] = ['search', 'team', 'organization', 'effect', 'use', 'colours', 'rows', 'more'].map(byId)
const page = 300
let shown = page
let sorted = { at: -1, down: false }
let found = rows
for (const [select, values] of [[team, rows.map((row) => row.cells[0])], [organization, rows.flatMap((row) => row.organizations)]])
  for (const value of [...new Set(values)].sort()) select.append(new Option(value, value))
names.forEach((name, at) => {
  const cell = document.createElement('th')
  const button = document.createElement('button')
  cell.scope = 'col'
  button.type = 'button'
  button.textContent = name
  button.addEventListener('click', () => {
    sorted = { at, down: sorted.at === at && !sorted.down }
    for (const each of byId('head').children) each.removeAttribute('aria-sort')
    cell.setAttribute('aria-sort', sorted.down ? 'descending' : 'ascending')
    find()
  })
  cell.append(button)
  cell.hidden = isEmpty[at]
  byId('head').append(cell)
})
function find() {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean)
  found = rows.filter((row) =>
    words.every((word) => row.all.includes(word)) &&
    (team.value === '' || row.cells[0] === team.value) &&
    (organization.value === '' || row.organizations.includes(organization.value)) &&
    (effect.value === '' || row.cells[4].startsWith(effect.value)) &&
    (use.value === '' || (use.value === 'used') === (row.cells[5] !== '')))
  if (sorted.at >= 0) found.sort((a, b) => a.cells[sorted.at].localeCompare(b.cells[sorted.at]) * (sorted.down ? -1 : 1))
  shown = page
  show()
}
function show() {
  body.replaceChildren(...found.slice(0, shown).map((row) => {
    const line = document.createElement('tr')
    line.tabIndex = -1
    row.cells.forEach((value, at) => {
      const cell = document.createElement('td')
      // An id breaks behind its dots.
      const parts = at === 2 ? value.split(/(?<=\\.)/) : [at === 5 ? value.replace(/^(.{10})T(.{5}).*/, '$1 $2 UTC') : value]
      cell.append(...parts.flatMap((part, index) => (index === 0 ? [part] : [document.createElement('wbr'), part])))
      cell.hidden = isEmpty[at]
      if (at === 4) cell.className = value.startsWith('allow') ? 'allow' : 'deny'
      line.append(cell)
    })
    return line
  }))
  if (body.firstElementChild) body.firstElementChild.tabIndex = 0
  more.hidden = found.length <= shown
  byId('count').textContent = found.length + ' of ' + rows.length + ' rows' + (more.hidden ? '' : ', ' + shown + ' shown')
}
for (const each of [search, team, organization, effect, use]) each.addEventListener('input', find)
colours.addEventListener('input', () => { document.documentElement.style.colorScheme = colours.value })
document.querySelector('form').addEventListener('submit', (event) => event.preventDefault())
more.addEventListener('click', () => { shown += page; show() })
document.addEventListener('keydown', (event) => {
  const inField = /^(INPUT|SELECT)$/.test(event.target.tagName)
  if (event.key === '/' && !inField) { event.preventDefault(); search.focus() }
  if (event.key === 'Escape' && event.target === search) { search.value = ''; find() }
  if (event.key === 'Escape' && !inField) search.focus()
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key]
  if (step === undefined || (inField && !(event.target === search && event.key === 'ArrowDown'))) return
  const lines = [...body.children]
  const next = lines[Math.max(0, Math.min(lines.length - 1, lines.indexOf(document.activeElement) + step))]
  if (next === undefined) return
  event.preventDefault()
  next.focus()
})
find()
`
