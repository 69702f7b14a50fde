-- A journal gets the entries whose keys it does not have, numbered 1, 2, 3, … without gaps.
-- Answers with the number of each, 0 for those it had; with 'moved' when the journal is not as long
-- as the caller knows, with 'deposed' when a higher fencing token has been used on it.
-- KEYS journal, its keys, the newest entry about each thing, the highest fencing token, and maybe
--      every entry about each thing
-- ARGV how long the journal is or '', fencing token or 0,
--      for each entry: key, what it is about or '', entry
local token, fence = tonumber(ARGV[2]), tonumber(redis.call('GET', KEYS[4]) or 0)
if token > 0 and token < fence then
  return 'deposed'
end
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= redis.call('LLEN', KEYS[1]) then
  return 'moved'
end
if token > fence then
  redis.call('SET', KEYS[4], ARGV[2])
end
local numbers = {}
for i = 3, #ARGV, 3 do
  local number = 0
  if redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    number = redis.call('RPUSH', KEYS[1], ARGV[i + 2])
    if ARGV[i + 1] ~= '' then
      redis.call('HSET', KEYS[3], ARGV[i + 1], number)
      if KEYS[5] then
        redis.call('ZADD', KEYS[5], 0, ARGV[i + 1] .. '\0' .. string.format('%016d', number))
      end
    end
  end
  numbers[#numbers + 1] = number
end
return numbers
