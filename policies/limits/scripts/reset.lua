-- Set counters of a subject back to nothing. What is reserved in them now is not settled in them any more. The window is
-- set back as well: a clock that was ahead may have left one that is long not there yet.
--
-- KEYS: the subject's hash. ARGV: names of counters. Answers how many there were.

local count = 0
for i = 1, #ARGV do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  if value then
    local _, _, _, _, generation = cmsgpack.unpack(value)
    redis.call('HSET', KEYS[1], ARGV[i], cmsgpack.pack(0, 0, 0, 0, generation + 1, 0))
    count = count + 1
  end
end
return count
