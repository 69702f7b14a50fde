-- New events are stored and wait for their rollouts, all in one go; known ones stay as they are.
-- Answers, for each, with nothing when it is new, else with body, session id, rollout id.
-- KEYS waiting, parked, each event
-- ARGV park until, seconds to keep an event, and for each: event id, body, received at
local known = {}
for i = 3, #KEYS do
  local at = 3 * (i - 3) + 3
  local event = redis.call('HMGET', KEYS[i], 'body', 'session', 'rollout')
  if event[1] then
    known[#known + 1] = event
  else
    known[#known + 1] = false
    redis.call('HSET', KEYS[i], 'body', ARGV[at + 1], 'received_at', ARGV[at + 2])
    redis.call('EXPIRE', KEYS[i], ARGV[2])
    redis.call('ZADD', KEYS[1], 0, ARGV[at])
    redis.call('ZADD', KEYS[2], ARGV[1], ARGV[at])
  end
end
return known
