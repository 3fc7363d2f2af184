-- Guarantees: a job that has not ended is cancelled in one step, as RQ cancels one: it leaves its queue or
-- registry, enters the registry of cancelled jobs, and the jobs that wait for it go on waiting. Workers that run
-- it are told to stop; with its entry in the started registry they have lost their fence. One of another opening
-- than the one that is meant is left alone.
-- After admit.lua.
-- KEYS: rq:job:ID, rq:queue:Q, rq:canceled:Q
-- ARGV: RQ's prefix, now (epoch seconds), now (as RQ writes it), the queue's name, the job's id, seconds that it stays
--       from now on (or empty: for ever, as in RQ), the opening that is meant (or empty: any)
-- Returns: absent (from this queue), ended (or of another opening), or canceled
local job, list, canceled = unpack(KEYS)
local rq, now, written, queue, id = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local stays, opening = ARGV[6], ARGV[7]

local function stop(execution)
    local member = id .. ':' .. execution
    local worker = redis.call('HGET', rq .. ':execution:' .. member, 'worker_name')
    redis.call('ZREM', rq .. ':wip:' .. queue, member)
    if worker and worker ~= '' then
        redis.call('PUBLISH', rq .. ':pubsub:' .. worker, cjson.encode({command = 'stop-job', job_id = id}))
    end
end

-- As RQ does: a slot that an execution still holds is given up when that ends.
local function leave_limit(key, running)
    local limit = rq .. ':rl:' .. key
    redis.call('ZREM', limit .. ':rate_limited', id)
    if not running and redis.call('ZREM', limit .. ':allowed', id) == 1 then
        fill_slots(rq, key, tonumber(redis.call('HGET', limit, 'concurrency') or 0), now, written)
    end
end

local status, origin, limit = unpack(redis.call('HMGET', job, 'status', 'origin', 'rate_limit_key'))
if not status or origin ~= queue then
    return 'absent'
end
if status == 'finished' or status == 'failed' or status == 'stopped' or status == 'canceled' then
    return 'ended'
end
if opening ~= '' and opening ~= (redis.call('HGET', job, 'mediaq_opening') or '0') then
    return 'ended'
end

local executions = status == 'started' and redis.call('ZRANGE', rq .. ':executions:' .. id, 0, -1) or {}
redis.call('HSET', job, 'status', 'canceled')
redis.call('LREM', list, 1, id)
redis.call('ZADD', canceled, math.floor(now), id)
if status == 'ready_to_enqueue' then
    redis.call('ZREM', rq .. ':ready:' .. queue, id)
else
    -- The other statuses that have a registry are named like it.
    redis.call('ZREM', rq .. ':' .. status .. ':' .. queue, id)
end
for _, execution in ipairs(executions) do
    stop(execution)
end
if limit and limit ~= '' then
    leave_limit(limit, redis.call('ZCOUNT', rq .. ':executions:' .. id, '(' .. math.floor(now), '+inf') > 0)
end
if stays ~= '' then
    redis.call('EXPIRE', job, stays)
    redis.call('EXPIRE', rq .. ':results:' .. id, stays)
end
return 'canceled'
