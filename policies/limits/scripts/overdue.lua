-- Reservations whose lease has ended, the oldest first.
--
-- KEYS: the tenant's leases. ARGV: how many at most, what stands before an id in the key of its record.
-- Answers {id, request id, MessagePack of its charges, id, …}; the last two are empty where there is no record any more.

local clock = redis.call('TIME')
local present = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', present, 'LIMIT', 0, ARGV[1])
local answer = {}
for i = 1, #ids do
  local record = redis.call('GET', ARGV[2] .. ids[i])
  local content = record and record ~= 's' and cmsgpack.unpack(record)
  answer[3 * i - 2] = ids[i]
  answer[3 * i - 1] = content and content[2] or ''
  answer[3 * i] = content and cmsgpack.pack(content[4]) or ''
end
return answer
