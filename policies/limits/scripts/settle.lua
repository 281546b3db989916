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
for i = 1, #charges do
  local key, counter, measure, number, reserved, amount, generation = unpack(charges[i])
  local delta = used[measure] - reserved
  -- A lease that has ended has given back its place among the parallel ones.
  if measure == 'p' and state == 'e' then delta = 0 end
  if delta ~= 0 or reserved > 0 then
    local value = redis.call('HGET', key, counter)
    local w, c, p, o, g, r
    if value then w, c, p, o, g, r = string.match(value, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$') end
    w, c, p, o, r = tonumber(w), tonumber(c), tonumber(p), tonumber(o), tonumber(r)
    if value and tonumber(g) == generation and (w == number or w == number + 1) then
      if w == number then
        c = math.min(MOST, math.max(0, c + delta))
        -- Of an expired lease it is no longer part.
        if state == 'r' then r = math.max(0, r - reserved) end
      else
        if amount >= 0 then
          -- Its debt was carried into the present window: what changes of the one changes the other.
          o = math.min(MOST, math.max(0, o + math.max(0, p + delta - amount) - math.max(0, p - amount)))
        end
        p = math.min(MOST, math.max(0, p + delta))
      end
      redis.call('HSET', key, counter, string.format('%d %d %d %d %s %d', w, c, p, o, g, r))
    end
  end
end
return 1
