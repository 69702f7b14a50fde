-- The lease is free, if this holder had it.
-- KEYS holder
-- ARGV who gives it back
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
