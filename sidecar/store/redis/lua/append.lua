-- A journal gets the entries whose keys it does not have, numbered 1, 2, 3, … without gaps.
-- Answers with the number of each, 0 for those it had.
-- KEYS journal, its keys, the newest entry about each thing, and maybe every entry about each thing
-- ARGV for each entry: key, what it is about or '', entry
local numbers = {}
for i = 1, #ARGV, 3 do
  local number = 0
  if redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    number = redis.call('RPUSH', KEYS[1], ARGV[i + 2])
    if ARGV[i + 1] ~= '' then
      redis.call('HSET', KEYS[3], ARGV[i + 1], number)
      if KEYS[4] then
        redis.call('ZADD', KEYS[4], 0, ARGV[i + 1] .. '\0' .. string.format('%016d', number))
      end
    end
  end
  numbers[#numbers + 1] = number
end
return numbers
