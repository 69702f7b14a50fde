-- The first record of a turn is stored and counted; a later one changes nothing.
-- KEYS rollout, chains, captured, counts, and of a turn with a chain: where that is to be found
-- ARGV turn id, turn without content, seconds to keep it, content or '', its name among the
--      captured, when the turn started, chain or '', how many chains to list, rollout id
if redis.call('HSETNX', KEYS[1], 'turn:' .. ARGV[1], ARGV[2]) == 0 then
  return 0
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('HINCRBY', KEYS[4], 'turns', 1)
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'content:' .. ARGV[1], ARGV[4])
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[5])
end
if ARGV[7] ~= '' then
  redis.call('LPUSH', KEYS[2], ARGV[7])
  redis.call('LTRIM', KEYS[2], 0, ARGV[8] - 1)
  redis.call('EXPIRE', KEYS[2], ARGV[3])
  redis.call('SET', KEYS[5], ARGV[9], 'EX', ARGV[3])
end
return 1
