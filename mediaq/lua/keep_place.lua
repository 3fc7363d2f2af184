-- Guarantees: a name holds its place, even if that was lost meanwhile: its job does run.
-- KEYS: the places (name, when it is lost)
-- ARGV: name, seconds a place is kept
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], string.format('%.6f', time[1] + time[2] / 1e6 + ARGV[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[2]))
return 0
