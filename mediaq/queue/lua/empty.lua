-- Guarantees: a job that leaves the queue leaves nothing behind, as when RQ empties one.
-- Bounded: takes ARGV[2] jobs.
-- KEYS: rq:queue:Q
-- ARGV: RQ's prefix, how many jobs go at most
-- Returns: how many went
local rq = ARGV[1]
local ids = redis.call('LPOP', KEYS[1], ARGV[2]) or {}
for _, id in ipairs(ids) do
    local job = rq .. ':job:' .. id
    local group = redis.call('HGET', job, 'group_id')
    if group and group ~= '' then
        redis.call('SREM', rq .. ':group:' .. group, id)
    end
    redis.call('DEL', job, job .. ':dependents', rq .. ':job::' .. id .. ':dependencies',
               rq .. ':results:' .. id)
end
return #ids
