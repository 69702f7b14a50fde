-- A delivery failed: the rollout is due later, or never. Nothing changes when all was reported.
-- KEYS row, due, later, dead
-- ARGV the row's name, when it is due again or was given up, error, 1 when it is given up
local row = redis.call('HMGET', KEYS[1], 'revision', 'reported')
if not row[1] or tonumber(row[1]) <= tonumber(row[2]) then
  return 0
end
redis.call('HSET', KEYS[1], 'since', ARGV[2], 'not_before', ARGV[2], 'error', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
for list = 2, 4 do
  redis.call('ZREM', KEYS[list], ARGV[1])
end
return redis.call('ZADD', ARGV[4] == '1' and KEYS[4] or KEYS[3], ARGV[2], ARGV[1])
