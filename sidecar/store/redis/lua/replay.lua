-- A dead letter is due again at once, with a fresh count of attempts. Answers 0 if there is none.
-- KEYS row, due, dead
-- ARGV the row's name
local since = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not since then
  return 0
end
redis.call('HSET', KEYS[1], 'attempts', 0, 'not_before', 0)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[2], since, ARGV[1])
return 1
