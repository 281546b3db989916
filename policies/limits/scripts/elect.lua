#!lua flags=allow-oom
-- One of many candidates holds an office for some time, and keeps it by asking again.
--
-- KEYS: the office. ARGV: the candidate, milliseconds. Answers 1 if it holds the office now, else 0.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
