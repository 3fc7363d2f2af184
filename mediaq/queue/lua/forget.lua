-- Guarantees: of the finished jobs of a queue the newest stay, by the time they ended, whatever their time to
-- live; of the others every key goes. Bounded by ARGV[2] jobs a call.
-- KEYS: rq:finished:Q
-- ARGV: how many stay, how many to look at beyond those at most
local finished = KEYS[1]
local keep, most = tonumber(ARGV[1]), tonumber(ARGV[2])

local surplus = redis.call('ZCARD', finished) - keep
if surplus <= 0 then
    return 0
end

local ended = {}
for _, id in ipairs(redis.call('ZRANGE', finished, 0, -1)) do
    local job = 'rq:job:' .. id
    ended[#ended + 1] = {id, redis.call('HGET', job, 'ended_at') or ''}
end
-- RQ writes ended_at as ISO 8601 in UTC, which sorts as text; a job without one has gone already.
table.sort(ended, function(a, b) return a[2] < b[2] end)

local forgotten = math.min(surplus, most)
for index = 1, forgotten do
    local id = ended[index][1]
    redis.call('ZREM', finished, id)
    redis.call('DEL', 'rq:job:' .. id, 'rq:results:' .. id, 'rq:executions:' .. id,
               'rq:job:' .. id .. ':dependents', 'rq:job::' .. id .. ':dependencies')
end
return forgotten
