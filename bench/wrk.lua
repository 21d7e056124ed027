-- Script for wrk: sends the requests of a file in turn, and prints one line of JSON. Nothing is built per request.
-- The file holds, for each request, a line with its length and then its bytes.
local requests, count, last = {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local line = file:read("*l")
  while line do
    count = count + 1
    requests[count] = file:read(tonumber(line))
    line = file:read("*l")
  end
  file:close()
end

function request()
  last = last % count + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"slowest":%d,"refused":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
