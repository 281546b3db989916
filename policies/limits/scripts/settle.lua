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

local function within(value)
  if value < 0 then return 0 end
  return value < MOST and value or MOST
end

-- The counter after this charge is settled in it; nil where that changes nothing, or it is another one by now.
local function settled(value, measure, number, reserved, amount, generation)
  local delta = used[measure] - reserved
  -- A lease that has ended has given back its place among the parallel ones.
  if measure == 'p' and state == 'e' then delta = 0 end
  if not value or (delta == 0 and reserved == 0) then return nil end
  local w, c, p, o, g, r = cmsgpack.unpack(value)
  if g ~= generation then return nil end
  if w == number then
    c = within(c + delta)
    -- Of an expired lease it is no longer part.
    if state == 'r' then r = within(r - reserved) end
  elseif w == number + 1 then
    if amount >= 0 then
      -- Its debt was carried into the present window: what changes of the one changes the other.
      o = within(o + math.max(0, p + delta - amount) - math.max(0, p - amount))
    end
    p = within(p + delta)
  else
    return nil
  end
  return cmsgpack.pack(w, c, p, o, g, r)
end

local written, count, key = {}, 0, nil
for i = 1, #charges, 7 do
  local counter = charges[i + 1]
  if charges[i] ~= '' then key = charges[i] end
  local value = settled(redis.call('HGET', key, counter), unpack(charges, i + 2, i + 6))
  if value then
    written[count + 1], written[count + 2] = counter, value
    count = count + 2
  end
  if count > 0 and charges[i + 7] ~= '' then
    redis.call('HSET', key, unpack(written, 1, count))
    count = 0
  end
end
return 1
