-- Set or unset a limit at run time, and record it.
--
-- KEYS: the overrides (hash), their version, the record of changes (stream).
-- ARGV: field of the override, its new value or "" for none, who, action, subject, kind.
-- Answers the amount that was set before, or "".

local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if ARGV[4] == 'set' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
elseif ARGV[4] == 'unset' then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, '*', 'by', ARGV[3], 'action', ARGV[4], 'subject', ARGV[5],
  'kind', ARGV[6], 'before', before, 'after', ARGV[2])
return before
