-- Guarantees: nothing of a job that has ended or was cancelled stays: every key and every entry goes in one step.
-- After evict.lua.
-- KEYS: rq:finished:Q, rq:failed:Q, rq:canceled:Q, the index of ends
-- ARGV: RQ's prefix, the queue's name, the job's id
-- Returns: 1, or 0 where the job is of another queue, or open, and so stays
local rq, queue, id = unpack(ARGV)
local origin, status = unpack(redis.call('HMGET', rq .. ':job:' .. id, 'origin', 'status'))
local ended = status == 'finished' or status == 'failed' or status == 'stopped' or status == 'canceled'
if status and (origin ~= queue or not ended) then
    return 0
end
for _, registry in ipairs(KEYS) do
    redis.call('ZREM', registry, id)
end
forget(rq, id)
return 1
