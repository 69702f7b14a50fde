-- Events whose parking time has passed wait no more. Answers how many they were.
-- KEYS waiting, parked
-- ARGV now, how many at most
local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, event in ipairs(expired) do
  redis.call('ZREM', KEYS[1], event)
  redis.call('ZREM', KEYS[2], event)
end
return #expired
