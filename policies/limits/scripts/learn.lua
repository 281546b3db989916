-- Add what was learned of a model to what all workers know of it. Old samples fade: past a bound all sums are halved.
--
-- KEYS: the hash of all models. ARGV: the model, the bound, then numbers to be added. Answers 1, or 0 if there are too many
-- models.

local field = ARGV[1]
local sums = {}
local value = redis.call('HGET', KEYS[1], field)
if value then
  for number in string.gmatch(value, '%d+') do sums[#sums + 1] = tonumber(number) end
elseif redis.call('HLEN', KEYS[1]) >= 1000 then
  return 0
end
for i = 3, #ARGV do sums[i - 2] = (sums[i - 2] or 0) + tonumber(ARGV[i]) end
while sums[1] > tonumber(ARGV[2]) do
  for i = 1, #sums do sums[i] = math.floor(sums[i] / 2) end
end
for i = 1, #sums do sums[i] = string.format('%d', sums[i]) end
redis.call('HSET', KEYS[1], field, table.concat(sums, ' '))
return 1
