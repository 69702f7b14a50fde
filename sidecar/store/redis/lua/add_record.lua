-- The first record of an id stays. Answers with it, or with nothing when this one is the first.
-- KEYS records, order
-- ARGV id, record
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('RPUSH', KEYS[2], ARGV[1])
end
return known
