-- A snapshot stays unless one comes that is as new or newer.
-- KEYS snapshot
-- ARGV sequence number, state
local known = redis.call('HGET', KEYS[1], 'seq')
if not known or tonumber(ARGV[1]) >= tonumber(known) then
  redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'state', ARGV[2])
end
return 0
