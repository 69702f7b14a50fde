-- A job keeps a file, unless a higher fencing token has been used on its journal.
-- Answers with 1, or 0 when it was refused.
-- KEYS the job's files, the highest fencing token
-- ARGV fencing token or 0, name, content
local token, fence = tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[2]) or 0)
if token > 0 and token < fence then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
