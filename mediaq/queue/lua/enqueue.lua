-- Guarantees: a job is saved and stands where it belongs in one step: in its queue; among the deferred ones
-- while a job that it waits for is not done; among the scheduled ones; or behind its rate limit. A job that must
-- be the only one with its id is left out where there is one.
-- After admit.lua.
-- KEYS: rq:queue:Q, rq:queues, rq:deferred:Q, rq:scheduled:Q
-- ARGV: RQ's prefix, now (epoch seconds), now (as RQ writes it), then for each job:
--       id, place (back, front, or when it is due in epoch seconds), rule (free, replace or refuse),
--       seconds to live (or empty), 1 if the jobs that it waits for may fail,
--       how many items its rate limit has (0, or 2: key and concurrency), the items,
--       how many jobs it waits for, their ids, how many items its hash has, the items but for the status
-- Returns: the ids of the jobs that were left out
local list, queues, deferred, scheduled = unpack(KEYS)
local rq, now, written = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function is_done(id, may_fail)
    local status = redis.call('HGET', rq .. ':job:' .. id, 'status')
    -- RQ holds a job that is gone for done.
    return not status or status == 'finished' or (may_fail == '1' and status == 'failed')
end

local function are_done(first, last, may_fail)
    for at = first, last do
        if not is_done(ARGV[at], may_fail) then
            return false
        end
    end
    return true
end

local function defer(id, first, last)
    redis.call('ZADD', deferred, math.floor(now), id)
    for at = first, last do
        redis.call('SADD', rq .. ':job:' .. ARGV[at] .. ':dependents', id)
        redis.call('SADD', rq .. ':job::' .. id .. ':dependencies', ARGV[at])
    end
end

-- Takes where in ARGV a job's arguments begin; returns where the next one's do.
local function enqueue(at)
    local id, place, rule, ttl, may_fail, limited = unpack(ARGV, at, at + 5)
    local limit = at + 6
    local jobs = limit + limited + 1
    local items = jobs + ARGV[jobs - 1] + 1
    local last = items + ARGV[items - 1] - 1
    local job = rq .. ':job:' .. id

    if rule == 'replace' then
        redis.call('DEL', job)
    elseif rule == 'refuse' and redis.call('EXISTS', job) == 1 then
        return last + 1, id
    end
    if place ~= 'back' and place ~= 'front' then
        redis.call('HSET', job, 'status', 'scheduled', unpack(ARGV, items, last))
        redis.call('ZADD', scheduled, place, id)
    elseif not are_done(jobs, items - 2, may_fail) then
        redis.call('HSET', job, 'status', 'deferred', unpack(ARGV, items, last))
        defer(id, jobs, items - 2)
    elseif limited ~= '0' then
        redis.call('HSET', job, unpack(ARGV, items, last))
        wait_for_slot(rq, id, ARGV[limit], ARGV[limit + 1], place == 'front', now, written)
    else
        redis.call('HSET', job, 'status', 'queued', 'enqueued_at', written, unpack(ARGV, items, last))
        redis.call(place == 'front' and 'LPUSH' or 'RPUSH', list, id)
    end
    if ttl ~= '' then
        set_expiry(rq, id, ttl)
    end
    return last + 1
end

local left_out = {}
local at = 4
while at <= #ARGV do
    local refused
    at, refused = enqueue(at)
    left_out[#left_out + 1] = refused
end
redis.call('SADD', queues, list)
return left_out
