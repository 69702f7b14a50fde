-- A waiting event becomes one of a rollout's, and the rollout is due: at once, with a fresh count
-- of attempts, in its place in the line if it was in it. Answers 0 when the event does not wait.
-- KEYS event, waiting, parked, events of the rollout, row, due, later, dead, counts
-- ARGV event id, session id, rollout id, the row's name, seconds to keep the event
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then
  return 0
end
redis.call('ZREM', KEYS[3], ARGV[1])
local event = redis.call('HMGET', KEYS[1], 'body', 'received_at')
if not event[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'session', ARGV[2], 'rollout', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('HSET', KEYS[4], ARGV[1], event[1])
redis.call('PERSIST', KEYS[4])

local row = redis.call('HMGET', KEYS[5], 'revision', 'reported', 'since')
local revision, reported, since = tonumber(row[1] or 0), tonumber(row[2] or 0), event[2]
if revision > reported and tonumber(row[3]) < tonumber(since) then
  since = row[3]
end
redis.call('HSET', KEYS[5], 'revision', revision + 1, 'reported', reported, 'attempts', 0,
  'since', since, 'not_before', 0, 'error', '')
redis.call('PERSIST', KEYS[5])
redis.call('ZADD', KEYS[6], since, ARGV[4])
redis.call('ZREM', KEYS[7], ARGV[4])
redis.call('ZREM', KEYS[8], ARGV[4])
redis.call('HINCRBY', KEYS[9], 'feedback:' .. ARGV[2], 1)
return 1
