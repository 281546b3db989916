#!lua flags=allow-oom
-- Charge a reservation whose lease has ended as it was reserved: what it reserved simply stays. Once.
--
-- KEYS: the reservation's record, the tenant's leases. ARGV: id, milliseconds for which a late settlement may correct it.
-- Answers 1: done now; 0: there was nothing to do.

local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not deadline then return 0 end
local clock = redis.call('TIME')
if tonumber(deadline) > clock[1] * 1000 + math.floor(clock[2] / 1000) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
local record = redis.call('GET', KEYS[1])
if not record or record == 's' then return 0 end
local content = cmsgpack.unpack(record)
local charges = content[4]
local key
for i = 1, #charges, 7 do
  local same, counter, measure, number, reserved, _, generation = unpack(charges, i, i + 6)
  if same ~= '' then key = same end
  local value = redis.call('HGET', key, counter)
  if value then
    local w, c, p, o, g, r = cmsgpack.unpack(value)
    if g == generation and w == number then
      if measure == 'p' then c = math.max(0, c - reserved) end
      r = math.max(0, r - reserved)
      redis.call('HSET', key, counter, cmsgpack.pack(w, c, p, o, g, r))
    end
  end
end
content[1] = 'e'
redis.call('SET', KEYS[1], cmsgpack.pack(content), 'PX', ARGV[2])
return 1
