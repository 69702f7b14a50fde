-- A session has counted this revision of a rollout. What is still ahead of it stays in the outbox;
-- a rollout all of which was reported leaves it, and is forgotten in due time.
-- KEYS row, events of the rollout, due, later, dead, counts
-- ARGV the row's name, revision, session id, seconds to keep what was reported
local row = redis.call('HMGET', KEYS[1], 'revision', 'reported', 'since', 'not_before')
if not row[1] then
  return 0
end
local before = tonumber(row[2])
local reported = math.max(before, tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'reported', reported, 'attempts', 0)
if before == 0 and reported > 0 then
  redis.call('HINCRBY', KEYS[6], 'rewards:' .. ARGV[3], 1)
end
for list = 3, 5 do
  redis.call('ZREM', KEYS[list], ARGV[1])
end
if tonumber(row[1]) > reported then
  redis.call('ZADD', tonumber(row[4]) > 0 and KEYS[4] or KEYS[3], row[3], ARGV[1])
else
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
return 1
