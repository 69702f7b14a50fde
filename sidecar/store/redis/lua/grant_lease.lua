-- The lease goes to who asks while nobody holds it, and stays with who renews it in time.
-- Answers with the fencing token, one higher with every grant; with nothing when it is somebody
-- else's.
-- KEYS holder, token
-- ARGV who asks, milliseconds
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return false
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if holder then
  return tonumber(redis.call('GET', KEYS[2]))
end
return redis.call('INCR', KEYS[2])
