-- Remember that there is a tenant, what people call it, and where it is new, since when.
--
-- KEYS: names of tenants (hash), since when they are known (hash). ARGV: the tenant, its name. Answers 1 if it is new.

local new = redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if new == 1 then
  local clock = redis.call('TIME')
  redis.call('HSET', KEYS[2], ARGV[1], string.format('%d', clock[1] * 1000 + math.floor(clock[2] / 1000)))
end
return new
