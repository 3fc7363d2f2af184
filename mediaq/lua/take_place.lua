-- Guarantees: no more names hold a place than there are places, and they got theirs in the order in which they came.
-- A name that holds one keeps it. One that is not heard of any more loses its place, or its rank among those that
-- wait, when its time is over.
-- KEYS: the places (name, when it is lost), those that wait (name, when it came), the same (name, when it is lost)
-- ARGV: name, places there are, seconds a place is kept, seconds between two questions of the first in the line,
--       seconds between two questions at most
-- Returns: 0 for a place, else milliseconds after which to ask again
local places, line, lapses = unpack(KEYS)
local name, most, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local step, longest = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6

local function text(number)
    return string.format('%.6f', number)
end

redis.call('ZREMRANGEBYSCORE', places, '-inf', text(now))
for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', lapses, '-inf', text(now))) do
    redis.call('ZREM', line, lapsed)
    redis.call('ZREM', lapses, lapsed)
end

redis.call('ZADD', line, 'NX', text(now), name)
local ahead = redis.call('ZRANK', line, name) - (most - redis.call('ZCARD', places))
if ahead < 0 or redis.call('ZSCORE', places, name) then
    redis.call('ZADD', places, text(now + kept), name)
    redis.call('EXPIRE', places, math.ceil(kept))
    redis.call('ZREM', line, name)
    redis.call('ZREM', lapses, name)
    return 0
end
local wait = math.min(step * (ahead + 1), longest)
redis.call('ZADD', lapses, text(now + wait + longest), name)
redis.call('EXPIRE', line, math.ceil(2 * longest))
redis.call('EXPIRE', lapses, math.ceil(2 * longest))
return math.ceil(wait * 1000)
