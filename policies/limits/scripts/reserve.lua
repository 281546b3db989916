-- Reserve on every counter, or on none. One round trip, one slot.
--
-- KEYS: the reservation's record, the tenant's leases. (The subjects' keys are in the demands, and in the same slot.)
-- ARGV[1]: MessagePack of {id, request id, lease, keep (both ms), zone offset, zone until, zone's next offset (s), output,
--   expected, floor, force, at (ms or 0), demands}; a demand is {key of its subject, counter, measure, window,
--   amount, fixed, per_output, clamps, expected, shadow, seconds, carries}.
-- Answers MessagePack of {code, output granted, {used, before, ms until reset, refused, reserved} for each demand}; code
--   0 refused, 1 reserved, 2 reserved before, 3 settled before.
--
-- A counter is a field of its subject's hash: "window current before carried generation reserved", all of them
--   whole numbers; reserved is the part of current that is not settled.
-- A record is MessagePack of {state, request id, output, charges}; for each subject {key, charge, …}, a charge being
--   {counter, measure, window, reserved, amount (of a limit that carries debt; else -1), generation}. State: "r" reserved,
--   "e" charged at the estimate. A settled one is the letter "s" alone.

local id, request_id, lease, keep, offset, zone_until, next_offset, output, expected, floor, force, at, demands =
  unpack(cmsgpack.unpack(ARGV[1]))

-- The largest whole number up to which a double counts by ones: past it counters would be neither exact nor readable.
local MOST = 9007199254740992

local record = redis.call('GET', KEYS[1])
if record then
  if record == 's' then return cmsgpack.pack({3, 0, {}}) end
  return cmsgpack.pack({2, cmsgpack.unpack(record)[3], {}})
end

local clock = redis.call('TIME')
local present = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now = present
-- What has happened is not in the future: a worker whose clock is ahead opens no window that is not there yet.
if at > 0 then now = force and math.min(at, present) or at end

-- The civil calendar from the number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
local function year_and_month(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month
end

local function first_day(year, month)
  local y = month <= 2 and year - 1 or year
  local era = math.floor(y / 400)
  local yoe = y - era * 400
  local doy = math.floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5)
  return era * 146097 + yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy - 719468
end

local seconds = math.floor(now / 1000)
local day = math.floor((seconds + (seconds < zone_until and offset or next_offset)) / 86400)

-- Milliseconds until this day begins where the subject lives.
local function until_day(number)
  local instant = number * 86400 - offset
  -- Where clocks go forward at midnight, the day begins with the change.
  if instant >= zone_until then instant = math.max(zone_until, number * 86400 - next_offset) end
  return math.max(0, instant * 1000 - now)
end

-- The number of the present window, and the milliseconds until it ends; worked out once for each kind.
local windows = {}
local function window(kind)
  local known = windows[kind]
  if not known then
    if kind == 'minute' then
      known = {math.floor(now / 60000), 60000 - now % 60000}
    elseif kind == 'day' then
      known = {day, until_day(day + 1)}
    elseif kind == 'month' then
      local year, month = year_and_month(day)
      known = {year * 12 + month - 1, until_day(first_day(month == 12 and year + 1 or year, month == 12 and 1 or month + 1))}
    else
      known = {0, 0}
    end
    windows[kind] = known
  end
  return known[1], known[2]
end

-- Whether an overrun of this limit is carried into its next window.
local function carries(demand) return (demand[9] or demand[12]) and demand[4] ~= 'minute' end

-- Every counter as it stands now, and what of the output the budgets allow.
local count = #demands
local numbers, currents, befores, carrieds, generations, reserveds, useds, resets = {}, {}, {}, {}, {}, {}, {}, {}
local granted = output
local wanted = math.min(floor, output)
local refused = {}
local subject, fields, values, taken = nil, nil, nil, 0
for i = 1, count do
  local demand = demands[i]
  if demand[1] ~= subject then
    subject, fields, taken = demand[1], {}, 0
    local j = i
    while j <= count and demands[j][1] == subject do
      fields[#fields + 1] = demands[j][2]
      j = j + 1
    end
    values = redis.call('HMGET', subject, unpack(fields))
  end
  taken = taken + 1
  local number, reset = window(demand[4])
  local amount, fixed, per_output = demand[5], demand[6], demand[7]
  local current, before, carried, generation, reserved = 0, 0, 0, 0, 0
  local value = values[taken]
  if value then
    local w, c, p, o, g, r = string.match(value, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
    w, current, before, carried = tonumber(w), tonumber(c), tonumber(p), tonumber(o)
    generation, reserved = tonumber(g), tonumber(r)
    if number > w then
      local owes, debt = carries(demand), 0
      -- Each window that is over has paid for as much as the limit is, also one in which nobody came.
      if owes then debt = math.min(MOST, math.max(0, current + carried - amount * (number - w))) end
      -- Where debt is carried, it is part of what a late settlement corrects.
      before = number == w + 1 and math.min(MOST, current + (owes and carried or 0)) or 0
      current, carried, reserved = 0, debt, 0
    else
      -- A clock that went back opens no older window.
      number = w
    end
  end
  local used = current + carried
  if demand[4] == 'minute' then used = used + math.ceil(before * reset / 60000) end
  numbers[i], currents[i], befores[i], carrieds[i], generations[i] = number, current, before, carried, generation
  reserveds[i], useds[i], resets[i] = reserved, used, reset
  -- What has happened cannot be made less.
  if demand[8] and not demand[9] and not demand[10] and per_output > 0 and not force then
    local room = amount - used - fixed
    if output * per_output > room * 1000000 then
      local most = room > 0 and math.floor(room * 1000000 / per_output) or 0
      if room < 0 or most < wanted then refused[i] = true end
      if most < granted then granted = most end
    end
  end
end

local needs = {}
local admitted = true
for i = 1, count do
  local demand = demands[i]
  local out = demand[9] and math.min(expected, granted) or granted
  local need = math.min(demand[6] + math.ceil(out * demand[7] / 1000000), MOST - currents[i])
  needs[i] = need
  if demand[5] <= 0 or useds[i] + need > demand[5] then refused[i] = true end
  if refused[i] and not demand[10] then admitted = false end
end
if force then admitted = true end

local standings = {}
local charges = {}
local i = 1
while i <= count do
  local key, written, charged, longest = demands[i][1], {}, {}, 0
  charged[1] = key
  while i <= count and demands[i][1] == key do
    local demand, need = demands[i], admitted and needs[i] or 0
    if admitted then
      written[#written + 1] = demand[2]
      written[#written + 1] = string.format('%d %d %d %d %d %d',
        numbers[i], currents[i] + need, befores[i], carrieds[i], generations[i], reserveds[i] + need)
      local debtor = carries(demand) and demand[5] or -1
      charged[#charged + 1] = {demand[2], string.sub(demand[3], 1, 1), numbers[i], need, debtor, generations[i]}
      if demand[11] > longest then longest = demand[11] end
    end
    standings[i] = {
      currents[i] + carrieds[i] + need, demand[4] == 'minute' and befores[i] or 0, resets[i], refused[i] or false,
      reserveds[i] + need,
    }
    i = i + 1
  end
  if admitted then
    redis.call('HSET', key, unpack(written))
    charges[#charges + 1] = charged
    -- Another exchange may have counted in a longer window of this subject.
    if redis.call('TTL', key) < longest then redis.call('EXPIRE', key, longest) end
  end
end
if admitted then
  redis.call('SET', KEYS[1], cmsgpack.pack({'r', request_id, granted, charges}), 'PX', lease + keep)
  redis.call('ZADD', KEYS[2], present + lease, id)
  if redis.call('PTTL', KEYS[2]) < lease + keep then redis.call('PEXPIRE', KEYS[2], lease + keep) end
end
return cmsgpack.pack({admitted and 1 or 0, granted, standings})
