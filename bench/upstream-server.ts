// An upstream for machines without nginx, a process of its own: reads the request and answers with fixed bytes.
// node bench/upstream-server.ts PORT

import { createServer } from 'node:http'
import { jsonAnswer } from './upstream.ts'
import { longAnswerBytes, longAnswerEnding, shortAnswerBytes } from './workloads.ts'

const short = jsonAnswer(shortAnswerBytes)
const long = jsonAnswer(longAnswerBytes)

const server = createServer((request, response) => {
  const body = request.url?.split('?', 1)[0]?.endsWith(longAnswerEnding) === true ? long : short
  const answer = (): void => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
    response.end(body)
  }
  if (request.method === 'GET') answer()
  else request.resume().once('end', answer)
})
server.keepAliveTimeout = 120_000
server.listen(Number(process.argv[2]), '127.0.0.1', 4096)
