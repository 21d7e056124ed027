// The upstream of the drills, a process of its own: short answers, one that never comes, and one that is long.
// node bench/drills/upstream-server.ts PORT

import { createServer } from 'node:http'
import { jsonAnswer } from '../upstream.ts'
import { shortAnswerBytes } from '../workloads.ts'

const short = jsonAnswer(shortAnswerBytes)
const long = jsonAnswer(4 << 20)

const server = createServer((request, response) => {
  const path = request.url?.split('?', 1)[0] ?? ''
  const answer = (): void => {
    if (path.includes('/hung')) return
    const body = path.includes('/long') ? long : short
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
    response.end(body)
  }
  if (request.method === 'GET') answer()
  else request.resume().once('end', answer)
})
server.keepAliveTimeout = 120_000
server.requestTimeout = 0
server.listen(Number(process.argv[2]), '127.0.0.1', 4096)
