#!lua flags=allow-oom
-- Replace what was reserved by what was used, in the very windows it was reserved in. Once for each reservation.
--
-- KEYS: the tenant's leases, then the record of each reservation. (The subjects' keys are in the records, and in the same
--   slot.)
-- ARGV[1]: milliseconds for which an id is remembered as settled.
-- ARGV[2]: MessagePack of {id, requests, tokens, micro-dollars, id, …}, in the order of the records.
-- Answers a digit for each: 1: done now; 0: had been; 2: no such reservation (and there can be none any more).
-- Done also where memory is full: it gives back more than it takes.
--
-- All is read and worked out before anything is written: an error leaves everything as it was. A counter that several
-- reservations share is read once, and written once.

local MOST = 9007199254740992

local tombstone, asked = ARGV[1], cmsgpack.unpack(ARGV[2])
local records = redis.call('MGET', unpack(KEYS, 2))

local function within(value)
  if value < 0 then return 0 end
  return value < MOST and value or MOST
end

-- Counters by the keys of their subjects and their names, each taken apart; false where there is none. The seventh member
-- is there where the others have changed.
local subjects = {}
local function counter_of(key, name)
  local subject = subjects[key]
  if not subject then
    subject = {}
    subjects[key] = subject
  end
  local counter = subject[name]
  if counter == nil then
    local value = redis.call('HGET', key, name)
    counter = value and {cmsgpack.unpack(value)}
    subject[name] = counter
  end
  return counter
end

-- One charge of a reservation in this state, of which so much of its measure was used.
local function settle(counter, used, measure, number, reserved, amount, generation, state)
  local delta = used - reserved
  -- A lease that has ended has given back its place among the parallel ones.
  if measure == 'p' and state == 'e' then delta = 0 end
  if delta == 0 and reserved == 0 then return end
  local w, c, p, o, g, r = unpack(counter, 1, 6)
  if g ~= generation then return end
  if w == number then
    counter[2] = within(c + delta)
    -- Of an expired lease it is no longer part.
    if state == 'r' then counter[6] = within(r - reserved) end
  elseif w == number + 1 then
    if amount >= 0 then
      -- Its debt was carried into the present window: what changes of the one changes the other.
      counter[4] = within(o + math.max(0, p + delta - amount) - math.max(0, p - amount))
    end
    counter[3] = within(p + delta)
  else
    return
  end
  counter[7] = true
end

local answers, seen, ids, settled = {}, {}, {}, {}
for i = 1, #records do
  local id, record = asked[4 * i - 3], records[i]
  if record == 's' or seen[id] then
    answers[i] = 0
  else
    seen[id] = true
    ids[#ids + 1], settled[#settled + 1] = id, KEYS[i + 1]
    answers[i] = record and 1 or 2
    if record then
      local state, _, _, charges = unpack(cmsgpack.unpack(record))
      local key
      for at = 1, #charges, 7 do
        if charges[at] ~= '' then key = charges[at] end
        local counter, measure = counter_of(key, charges[at + 1]), charges[at + 2]
        if counter then
          local used = 0
          if measure == 'r' then used = asked[4 * i - 2]
          elseif measure == 't' then used = asked[4 * i - 1]
          elseif measure == 'd' then used = asked[4 * i] end
          settle(counter, used, measure, charges[at + 3], charges[at + 4], charges[at + 5], charges[at + 6], state)
        end
      end
    end
  end
end

if #ids > 0 then redis.call('ZREM', KEYS[1], unpack(ids)) end
for key, counters in pairs(subjects) do
  local written, count = {}, 0
  for name, counter in pairs(counters) do
    if counter and counter[7] then
      written[count + 1], written[count + 2] = name, cmsgpack.pack(unpack(counter, 1, 6))
      count = count + 2
    end
  end
  if count > 0 then redis.call('HSET', key, unpack(written, 1, count)) end
end
for _, key in ipairs(settled) do redis.call('SET', key, 's', 'PX', tombstone) end
return table.concat(answers)
