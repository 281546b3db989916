-- Sends the bytes of one file again and again; ends with one line of JSON. Times in seconds.
local raw

function init(args)
  local file = assert(io.open(args[1], "rb"))
  raw = file:read("*a")
  file:close()
end

function request()
  return raw
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'BENCH {"requests":%d,"errors":%d,"seconds":%.6f,"p50":%.6f,"p95":%.6f,"p99":%.6f}\n',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1e6, latency:percentile(95) / 1e6, latency:percentile(99) / 1e6))
end
