#!lua flags=allow-oom
-- Replace what was reserved by what was used, in the very windows it was reserved in. Once.
--
-- KEYS: the reservation's record, the tenant's leases. (The subjects' keys are in the record, and in the same slot.)
-- ARGV: id, requests, tokens, micro-dollars, milliseconds for which the id is remembered as settled.
-- Answers 1: done now; 0: had been; 2: no such reservation (and there can be none any more).
-- Done also where memory is full: it gives back more than it takes.

local MOST = 9007199254740992

local record = redis.call('GET', KEYS[1])
if record == 's' then return 0 end
redis.call('SET', KEYS[1], 's', 'PX', ARGV[5])
redis.call('ZREM', KEYS[2], ARGV[1])
if not record then return 2 end

local state, _, _, charges = unpack(cmsgpack.unpack(record))
local used = {r = tonumber(ARGV[2]), t = tonumber(ARGV[3]), d = tonumber(ARGV[4]), p = 0}

-- The counter after this charge is settled in it; nil where that changes nothing, or it is another one by now.
local function settled(charge, value)
  local _, measure, number, reserved, amount, generation = unpack(charge)
  local delta = used[measure] - reserved
  -- A lease that has ended has given back its place among the parallel ones.
  if measure == 'p' and state == 'e' then delta = 0 end
  if not value or (delta == 0 and reserved == 0) then return nil end
  local w, c, p, o, g, r = string.match(value, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  w, c, p, o, r = tonumber(w), tonumber(c), tonumber(p), tonumber(o), tonumber(r)
  if tonumber(g) ~= generation then return nil end
  if w == number then
    c = math.min(MOST, math.max(0, c + delta))
    -- Of an expired lease it is no longer part.
    if state == 'r' then r = math.max(0, r - reserved) end
  elseif w == number + 1 then
    if amount >= 0 then
      -- Its debt was carried into the present window: what changes of the one changes the other.
      o = math.min(MOST, math.max(0, o + math.max(0, p + delta - amount) - math.max(0, p - amount)))
    end
    p = math.min(MOST, math.max(0, p + delta))
  else
    return nil
  end
  return string.format('%d %d %d %d %s %d', w, c, p, o, g, r)
end

for i = 1, #charges do
  local subject = charges[i]
  local key, counters, written = subject[1], {}, {}
  for j = 2, #subject do counters[j - 1] = subject[j][1] end
  local values = redis.call('HMGET', key, unpack(counters))
  for j = 2, #subject do
    local value = settled(subject[j], values[j - 1])
    if value then
      written[#written + 1] = subject[j][1]
      written[#written + 1] = value
    end
  end
  if #written > 0 then redis.call('HSET', key, unpack(written)) end
end
return 1
