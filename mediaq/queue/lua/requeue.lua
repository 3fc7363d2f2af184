-- Guarantees: a job that no worker runs stands in its queue, once, or behind its rate limit; it has left the
-- registry it was in, forgets how it ended and how many workers it outlived, and waits for no other job any more.
-- One that waits in the queue already stays where it is, unless it is to go to the front.
-- After admit.lua.
-- KEYS: rq:job:ID, rq:queue:Q, rq:queue:Q:intermediate, rq:queues
-- ARGV: RQ's prefix, our prefix, now (epoch seconds), now (as RQ writes it), the queue's name, the job's id,
--       1 if it goes to the front
-- Returns: absent (from this queue), started, or queued
local job, list, intermediate, queues = unpack(KEYS)
local rq, ours, now, written = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local queue, id, at_front = ARGV[5], ARGV[6], ARGV[7] == '1'

local status, origin, limit, concurrency, ttl =
    unpack(redis.call('HMGET', job, 'status', 'origin', 'rate_limit_key', 'rate_limit_concurrency', 'ttl'))
if not status or origin ~= queue then
    return 'absent'
end
if status == 'started' then
    return 'started'
end
local function waits_already()
    -- An id that a stock worker has taken is about to start.
    return status == 'rate_limited' or (status == 'queued' and
        ((not at_front and redis.call('LPOS', list, id)) or redis.call('LPOS', intermediate, id)))
end

if waits_already() then
    return 'queued'
end
for _, registry in ipairs({'finished', 'failed', 'canceled', 'deferred', 'ready', 'scheduled'}) do
    redis.call('ZREM', rq .. ':' .. registry .. ':' .. queue, id)
end
redis.call('ZREM', ours .. ':ended:' .. queue, id)
local dependencies = rq .. ':job::' .. id .. ':dependencies'
for _, other in ipairs(redis.call('SMEMBERS', dependencies)) do
    redis.call('SREM', rq .. ':job:' .. other .. ':dependents', id)
end
redis.call('DEL', dependencies)
redis.call('LREM', list, 0, id)
redis.call('HDEL', job, 'started_at', 'ended_at', 'exc_info', 'mediaq_deaths')
-- What was to expire with the failure would otherwise expire in the queue.
redis.call('PERSIST', job)
set_expiry(rq, id, ttl)
-- One that is queued holds its slot.
if limit and limit ~= '' and status ~= 'queued' then
    wait_for_slot(rq, id, limit, concurrency, at_front, now, written)
else
    push(rq, id, queue, at_front, written)
end
redis.call('SADD', queues, list)
return 'queued'
