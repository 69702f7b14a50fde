-- The first assignment of a rollout is stored, listed and counted; a later one changes nothing.
-- Answers with the first.
-- KEYS rollout, recent, tally
-- ARGV assignment, candidate id, seconds to keep it, how many to list
if redis.call('HSETNX', KEYS[1], 'assignment', ARGV[1]) == 1 then
  redis.call('LPUSH', KEYS[2], ARGV[1])
  redis.call('LTRIM', KEYS[2], 0, ARGV[4] - 1)
  redis.call('EXPIRE', KEYS[2], ARGV[3])
  redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return redis.call('HGET', KEYS[1], 'assignment')
