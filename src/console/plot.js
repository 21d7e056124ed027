// Small plots of the last hour.

import { html } from 'htm/preact'
import { useEffect, useRef } from 'preact/hooks'
import UPlot from 'uplot'

/** @typedef {{ label: string, values: readonly (number | null)[], color: 1 | 2 }} Line */

/** The colour of the theme in use, which the name alone does not say. @param {HTMLElement} element @param {string} name */
function colorOf(element, name) {
  element.style.color = `var(${name})`
  return getComputedStyle(element).color
}

/** With seconds while there are few minutes. @param {readonly number[]} at */
function timeOf(at) {
  const isShort = (at.at(-1) ?? 0) - (at[0] ?? 0) < 600
  /** @param {number} seconds */
  return (seconds) => new Date(seconds * 1000).toISOString().slice(11, isShort ? 19 : 16)
}

/**
 * @param {{ title: string, unit: string, at: readonly number[], lines: readonly Line[], show: (value: number | null | undefined) => string }} props
 */
export function Plot({ title, unit, at, lines, show }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null))
  useEffect(() => {
    const element = place.current
    if (element === null) return undefined
    const dark = window.matchMedia('(prefers-color-scheme: dark)')
    /** @type {UPlot | null} */
    let plot = null
    const draw = () => {
      plot?.destroy()
      const [text, grid] = [colorOf(element, '--muted'), colorOf(element, '--line')]
      const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: '12px system-ui' }
      plot = new UPlot(
        {
          width: Math.max(element.clientWidth, 200),
          height: 130,
          legend: { show: false },
          cursor: { show: false },
          scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
          axes: [
            { ...axis, size: 24, space: 70, values: (_plot, ticks) => ticks.map(timeOf(at)) },
            { ...axis, size: 62, values: (_plot, ticks) => ticks.map((each) => show(each)) },
          ],
          series: [
            {},
            ...lines.map(({ label, color }) => ({
              label,
              stroke: colorOf(element, `--line-${color}`),
              width: 1.5,
              points: { show: false },
            })),
          ],
        },
        /** @type {any} */ ([at, ...lines.map(({ values }) => values)]),
        element,
      )
    }
    draw()
    const observer = new ResizeObserver(() => plot?.setSize({ width: Math.max(element.clientWidth, 200), height: 130 }))
    observer.observe(element)
    dark.addEventListener('change', draw)
    return () => {
      observer.disconnect()
      dark.removeEventListener('change', draw)
      plot?.destroy()
    }
  }, [at, lines])
  const said = lines
    .map(({ label, values }) => {
      const known = values.filter((each) => each !== null)
      return known.length === 0
        ? `${label}: nothing measured`
        : `${label}: now ${show(known.at(-1))}, highest ${show(Math.max(...known))}`
    })
    .join('; ')
  return html`<figure class="plot">
    <figcaption><strong>${title}</strong> <span>${unit}</span></figcaption>
    <div ref=${place} role="img" aria-label=${`${title}, last hour. ${said}.`}></div>
    <p class="key">${lines.map(({ label, color, values }) => html`<span class=${`line-${color}`}>${label} ${show(values.findLast((each) => each !== null))}</span>`)}</p>
  </figure>`
}
