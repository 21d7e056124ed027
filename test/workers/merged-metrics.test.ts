// The metrics of several workers become one text that Prometheus reads: each metric once, each sample with its worker.

import { expect, test } from 'vitest'
import { mergeMetrics } from '../../src/workers/merged-metrics.ts'

test('samples stay with their metric, whatever stands in labels and help texts', () => {
  const text = (count: number): string =>
    `# HELP requests_total Requests {of all} kinds # and more.
# TYPE requests_total counter
requests_total{team="a} 1",path="x{y"} ${count}
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{le="+Inf"} ${count}
seconds_count ${count}
`
  const alone = '# HELP only_here Of one worker.\n# TYPE only_here gauge\nonly_here 7\n'
  expect(
    mergeMetrics([
      { worker: 1, text: text(3) },
      { worker: 2, text: text(4) + alone },
    ]),
  ).toBe(`# HELP requests_total Requests {of all} kinds # and more.
# TYPE requests_total counter
requests_total{worker="1",team="a} 1",path="x{y"} 3
requests_total{worker="2",team="a} 1",path="x{y"} 4

# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{worker="1",le="+Inf"} 3
seconds_count{worker="1"} 3
seconds_bucket{worker="2",le="+Inf"} 4
seconds_count{worker="2"} 4

# HELP only_here Of one worker.
# TYPE only_here gauge
only_here{worker="2"} 7
`)
})

test('the end that OpenMetrics asks for is of one text and stays out, and exemplars stay with their sample', () => {
  const text = `# TYPE seconds histogram
seconds_bucket{le="1"} 2 # {trace_id="ab"} 0.5 1795514400
# EOF
`
  expect(mergeMetrics([1, 2].map((worker) => ({ worker, text: `# HELP seconds Time.\n${text}` })))).toBe(
    `# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{worker="1",le="1"} 2 # {trace_id="ab"} 0.5 1795514400
seconds_bucket{worker="2",le="1"} 2 # {trace_id="ab"} 0.5 1795514400
`,
  )
})
