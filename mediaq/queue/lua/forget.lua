-- Guarantees: of the finished jobs of a queue the newest stay, by the time they ended, whatever their time to
-- live; of the others every key goes, unless the job is to run again. Bounded: looks at ARGV[1] + ARGV[2] jobs.
-- KEYS: rq:finished:Q
-- ARGV: how many stay, how many go at most
local finished = KEYS[1]
local keep, most = tonumber(ARGV[1]), tonumber(ARGV[2])

local ended = {}
-- Whichever jobs are looked at: one that ended before `keep` others of them is not among the newest of all.
for _, id in ipairs(redis.call('ZRANGE', finished, 0, keep + most - 1)) do
    local fields = redis.call('HMGET', 'rq:job:' .. id, 'ended_at', 'status')
    ended[#ended + 1] = {id, fields[1] or '', fields[2]}
end
-- RQ writes ended_at as ISO 8601 in UTC, which sorts as text; a job without one has gone already.
table.sort(ended, function(a, b) return a[2] < b[2] end)

local forgotten = math.max(#ended - keep, 0)
for index = 1, forgotten do
    local id, status = ended[index][1], ended[index][3]
    redis.call('ZREM', finished, id)
    -- RQ keeps a job that repeats among the finished ones while it waits for its next run.
    if not status or status == 'finished' then
        redis.call('DEL', 'rq:job:' .. id, 'rq:results:' .. id, 'rq:executions:' .. id,
                   'rq:job:' .. id .. ':dependents', 'rq:job::' .. id .. ':dependencies')
    end
end
return forgotten
