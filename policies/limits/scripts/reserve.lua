-- Reserve on every counter, or on none. One round trip, one slot.
--
-- KEYS: the reservation's record, the tenant's leases. (The subjects' keys are in the demands, and in the same slot.)
-- ARGV[1]: MessagePack of {id, request id, lease, keep (both ms), zone offset, zone until, zone's next offset (s), output,
--   expected, floor, force, at (ms or 0), number of demands}.
-- ARGV[2]: MessagePack of the demands; a demand is {key of its subject, counter, measure, window, amount, fixed, per_output,
--   clamps, expected, shadow, seconds, carries}. Those of one subject stand together.
-- Answers MessagePack of {code, output granted, {used, before, ms until reset, refused, reserved} for each demand}; code
--   0 refused, 1 reserved, 2 reserved before, 3 settled before.
--
-- A counter is a field of its subject's hash: window, current, before, carried, generation, reserved, one after the other
--   in MessagePack, all of them whole numbers; reserved is the part of current that is not settled.
-- A record is MessagePack of {state, request id, output, charges}; charges are {key, counter, measure, window, reserved,
--   amount (of a limit that carries debt; else -1), generation, key, …}, a key being "" where it is the one before. State:
--   "r" reserved, "e" charged at the estimate. A settled one is the letter "s" alone.
--
-- A server runs one script at a time, and tables are what costs it most: hence the few there are.

local id, request_id, lease, keep, offset, zone_until, next_offset, output, expected, floor, force, at, count =
  unpack(cmsgpack.unpack(ARGV[1]))

-- The largest whole number up to which a double counts by ones: past it counters would be neither exact nor readable.
local MOST = 9007199254740992

local record = redis.call('GET', KEYS[1])
if record then
  if record == 's' then return cmsgpack.pack({3, 0, {}}) end
  return cmsgpack.pack({2, cmsgpack.unpack(record)[3], {}})
end

local whole, ceiling = math.floor, math.ceil
local clock = redis.call('TIME')
local present = clock[1] * 1000 + whole(clock[2] / 1000)
local now = present
-- What has happened is not in the future: a worker whose clock is ahead opens no window that is not there yet.
if at > 0 then now = force and math.min(at, present) or at end

-- The civil calendar from the number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
local function year_and_month(days)
  local z = days + 719468
  local era = whole(z / 146097)
  local doe = z - era * 146097
  local yoe = whole((doe - whole(doe / 1460) + whole(doe / 36524) - whole(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + whole(yoe / 4) - whole(yoe / 100))
  local mp = whole((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month
end

local function first_day(year, month)
  local y = month <= 2 and year - 1 or year
  local era = whole(y / 400)
  local yoe = y - era * 400
  local doy = whole((153 * (month > 2 and month - 3 or month + 9) + 2) / 5)
  return era * 146097 + yoe * 365 + whole(yoe / 4) - whole(yoe / 100) + doy - 719468
end

-- Milliseconds until this day begins where the subject lives.
local function until_day(number)
  local instant = number * 86400 - offset
  -- Where clocks go forward at midnight, the day begins with the change.
  if instant >= zone_until then instant = math.max(zone_until, number * 86400 - next_offset) end
  return math.max(0, instant * 1000 - now)
end

-- The number of the present window of each kind, and the milliseconds until it ends; those of dates only if need be.
local minute, minute_reset = whole(now / 60000), 60000 - now % 60000
local day, day_reset, month, month_reset
local function dates()
  local seconds = whole(now / 1000)
  day = whole((seconds + (seconds < zone_until and offset or next_offset)) / 86400)
  day_reset = until_day(day + 1)
  local year, of_year = year_and_month(day)
  month = year * 12 + of_year - 1
  month_reset = until_day(first_day(of_year == 12 and year + 1 or year, of_year == 12 and 1 or of_year + 1))
end

-- Every counter as it stands now, and what of the output the budgets allow.
local counters = {}
local granted = output
local wanted = floor < output and floor or output
local packed, place = ARGV[2], count < 16 and 1 or 3
for i = 1, count do
  local key, name, measure, kind, amount, fixed, per_output, clamps, usual, shadow, seconds, carries
  -- Past the head of an array of 12, which is one byte.
  place, key, name, measure, kind, amount, fixed, per_output, clamps, usual, shadow, seconds, carries =
    cmsgpack.unpack_limit(packed, 12, place + 1)
  local number, reset = 0, 0
  if kind == 'minute' then
    number, reset = minute, minute_reset
  elseif kind ~= 'none' then
    if not day then dates() end
    if kind == 'day' then number, reset = day, day_reset else number, reset = month, month_reset end
  end
  -- Whether an overrun of this limit is carried into its next window.
  local owes = (usual or carries) and kind ~= 'minute'
  local current, before, carried, generation, reserved = 0, 0, 0, 0, 0
  -- A key is kept for longer than this window and the next: it need be told so once in a window.
  local is_known = false
  local value = redis.call('HGET', key, name)
  if value then
    local w, more
    w, current, before, carried, generation, reserved, more = cmsgpack.unpack(value)
    if not reserved or more then return redis.error_reply('ERR no counter') end
    if number > w then
      local debt = 0
      -- Each window that is over has paid for as much as the limit is, also one in which nobody came.
      if owes then debt = math.min(MOST, math.max(0, current + carried - amount * (number - w))) end
      -- Where debt is carried, it is part of what a late settlement corrects.
      before = number == w + 1 and math.min(MOST, current + (owes and carried or 0)) or 0
      current, carried, reserved = 0, debt, 0
    else
      -- A clock that went back opens no older window.
      number, is_known = w, kind ~= 'none'
    end
  end
  local used = current + carried
  if before > 0 and kind == 'minute' then used = used + ceiling(before * reset / 60000) end
  local refused = false
  -- What has happened cannot be made less.
  if clamps and per_output > 0 and not (usual or shadow or force) then
    local room = amount - used - fixed
    if output * per_output > room * 1000000 then
      local most = room > 0 and whole(room * 1000000 / per_output) or 0
      if room < 0 or most < wanted then refused = true end
      if most < granted then granted = most end
    end
  end
  counters[i] = {
    number, current, before, carried, generation, reserved, refused, reset, owes and amount or -1,
    key, name, measure, kind, is_known and 0 or seconds,
    -- From here on for the next loop alone: 15 to 20.
    used, amount, fixed, per_output, usual, shadow,
  }
end

-- What each of them needs, and whether all have it.
local needs = {}
local admitted = true
for i = 1, count do
  local counter = counters[i]
  local current, used, amount, need, per_output = counter[2], counter[15], counter[16], counter[17], counter[18]
  local usual, shadow = counter[19], counter[20]
  if per_output > 0 then
    need = need + ceiling((usual and expected < granted and expected or granted) * per_output / 1000000)
  end
  if need > MOST - current then need = MOST - current end
  needs[i] = need
  if amount <= 0 or used + need > amount then counter[7] = true end
  if counter[7] and not shadow then admitted = false end
end
if force then admitted = true end

local standings, charges, written = {}, {}, {}
local charged, writes, longest, subject = 0, 0, 0, nil
for i = 1, count do
  local need = admitted and needs[i] or 0
  local number, current, before, carried, generation, reserved, refused, reset, debtor, key, name, measure, kind, seconds =
    unpack(counters[i], 1, 14)
  standings[i] = {current + carried + need, kind == 'minute' and before or 0, reset, refused, reserved + need}
  if admitted then
    charges[charged + 1] = key == subject and '' or key
    charges[charged + 2], charges[charged + 3] = name, string.sub(measure, 1, 1)
    charges[charged + 4], charges[charged + 5], charges[charged + 6] = number, need, debtor
    charges[charged + 7] = generation
    charged, subject = charged + 7, key
    written[writes + 1] = name
    written[writes + 2] = cmsgpack.pack(number, current + need, before, carried, generation, reserved + need)
    writes = writes + 2
    if seconds > longest then longest = seconds end
    if i == count or counters[i + 1][10] ~= key then
      redis.call('HSET', key, unpack(written, 1, writes))
      -- Another exchange may have counted in a longer window of this subject.
      if longest > 0 and redis.call('TTL', key) < longest then redis.call('EXPIRE', key, longest) end
      writes, longest = 0, 0
    end
  end
end
if admitted then
  redis.call('SET', KEYS[1], cmsgpack.pack({'r', request_id, granted, charges}), 'PX', lease + keep)
  redis.call('ZADD', KEYS[2], present + lease, id)
  if redis.call('PTTL', KEYS[2]) < lease + keep then redis.call('PEXPIRE', KEYS[2], lease + keep) end
end
return cmsgpack.pack({admitted and 1 or 0, granted, standings})
