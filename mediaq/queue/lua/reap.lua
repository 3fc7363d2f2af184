-- Guarantees: what a dead worker held runs again, at the front of its queue and without using up a retry, until a
-- job has outlived too many workers; then it fails with the reason. Listeners hear of the former in the same step.
-- One that waited for its turn has outlived nobody. What a living worker holds is left alone.
-- Bounded: looks at ARGV[5] leases, and at as many entries of each queue.
-- After admit.lua, dependents.lua.
-- KEYS: the leases, rq:queues
-- ARGV: RQ's prefix, our prefix, now (epoch seconds), now (as RQ writes it), how many at most, how many deaths a
--       job may outlive, seconds an id may stand in a stock worker's intermediate list, the reason of a poisoned
--       job (as RQ writes errors), seconds a failed job stays by default, how many events are kept about
-- Returns: {ids that run again}, {ids that failed}, 1 if there may be more leases of dead workers, else 0
local leases, queues = unpack(KEYS)
local rq, ours, now, written, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local deaths_allowed, patience = tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local clock = time[1] + time[2] / 1e6
local again, poisoned = {}, {}

local function remove_traces(id, execution, queue)
    local member = id .. ':' .. execution
    local key = rq .. ':execution:' .. member
    local worker = redis.call('HGET', key, 'worker_name')
    if worker then
        redis.call('SREM', rq .. ':worker:' .. worker .. ':executions', member)
    end
    redis.call('DEL', key)
    redis.call('ZREM', leases, member .. ':' .. queue)
    redis.call('ZREM', rq .. ':wip:' .. queue, member)
    redis.call('ZREM', rq .. ':executions:' .. id, execution)
end

local function runs_elsewhere(id, queue)
    for _, execution in ipairs(redis.call('ZRANGE', rq .. ':executions:' .. id, 0, -1)) do
        local member = id .. ':' .. execution
        local lease = redis.call('ZSCORE', leases, member .. ':' .. queue)
        local entry = redis.call('ZSCORE', rq .. ':wip:' .. queue, member)
        if (lease and tonumber(lease) > clock) or (not lease and entry and tonumber(entry) > now) then
            return true
        end
    end
    return false
end

local function fail(id, job, queue)
    local ttl = tonumber(redis.call('HGET', job, 'failure_ttl'))
    redis.call('HSET', job, 'status', 'failed', 'ended_at', written)
    redis.call('XADD', rq .. ':results:' .. id, 'MAXLEN', '~', 10, '*', 'type', 2, 'worker_name', '',
               'exc_string', ARGV[8])
    local stays = ttl or tonumber(ARGV[9])
    redis.call('ZADD', rq .. ':failed:' .. queue, stays < 0 and stays or math.floor(now) + stays, id)
    free_dependents(rq, id, true, now, written)
    if stays >= 0 then
        for _, key in ipairs({job, job .. ':dependents', rq .. ':job::' .. id .. ':dependencies'}) do
            redis.call('EXPIRE', key, stays)
        end
    end
    if ttl and ttl >= 0 then
        redis.call('EXPIRE', rq .. ':results:' .. id, ttl)
    end
    redis.call('HINCRBY', ours .. ':outcomes:' .. queue, 'poisoned', 1)
    poisoned[#poisoned + 1] = id
end

local function tell_stalled(id, job, queue)
    redis.call('XADD', ours .. ':events', 'MAXLEN', '~', ARGV[10], '*', 'job', id, 'queue', queue,
               'share', redis.call('HGET', job, 'mediaq_share') or '', 'event', 'stalled', 'data', '')
end

local function run_again(id, job, queue)
    redis.call('HSET', job, 'status', 'queued', 'enqueued_at', written)
    local ttl = tonumber(redis.call('HGET', job, 'ttl'))
    if ttl and ttl > 0 then
        redis.call('EXPIRE', job, ttl)
    end
    redis.call('SADD', queues, rq .. ':queue:' .. queue)
    redis.call('LPUSH', rq .. ':queue:' .. queue, id)
    again[#again + 1] = id
end

local function survive(id, queue)
    local job = rq .. ':job:' .. id
    redis.pcall('HINCRBY', ours .. ':outcomes:' .. queue, 'died', 1)
    if redis.call('HINCRBY', job, 'mediaq_deaths', 1) > deaths_allowed then
        fail(id, job, queue)
    else
        run_again(id, job, queue)
        pcall(tell_stalled, id, job, queue)
    end
end

local function bury(id, execution, queue)
    remove_traces(id, execution, queue)
    local had_no_turn = redis.call('DEL', ours .. ':waiting:' .. id .. ':' .. execution) == 1
    -- Whatever else the job is now, someone has seen to it already.
    if redis.call('HGET', rq .. ':job:' .. id, 'status') == 'started' and not runs_elsewhere(id, queue) then
        if had_no_turn then
            run_again(id, rq .. ':job:' .. id, queue)
        else
            survive(id, queue)
        end
    end
end

-- Our workers, by their leases.
local dead = redis.call('ZRANGEBYSCORE', leases, '-inf', clock, 'LIMIT', 0, most)
for _, member in ipairs(dead) do
    local id, execution, queue = string.match(member, '^([^:]+):([^:]+):(.*)$')
    -- One whose keys are of another type than RQ's must not keep the others from being saved.
    if not id or not pcall(bury, id, execution, queue) then
        redis.call('ZREM', leases, member)
    end
end

-- Stock workers, by RQ's entries: before RQ's clean-up, which would fail what has no retries left.
local function bury_stock(queue)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', rq .. ':wip:' .. queue, 0, now, 'LIMIT', 0, most)) do
        local id, execution = string.match(member, '^([^:]+):([^:]+)$')
        local lease = id and redis.call('ZSCORE', leases, member .. ':' .. queue)
        if id and not (lease and tonumber(lease) > clock) then
            bury(id, execution, queue)
        end
    end
end

-- Ids that a stock worker moved aside and did not live to start.
local function free_stuck(queue)
    local intermediate, stuck = rq .. ':queue:' .. queue .. ':intermediate', ours .. ':stuck:' .. queue
    local there = {}
    for _, id in ipairs(redis.call('LRANGE', intermediate, 0, most - 1)) do
        there[id] = true
        local status = redis.call('HGET', rq .. ':job:' .. id, 'status')
        local executing = redis.call('EXISTS', rq .. ':executions:' .. id) == 1
        if not status or (status ~= 'queued' and not executing) then
            redis.call('LREM', intermediate, 1, id)
            redis.call('ZREM', stuck, id)
        elseif not executing then
            redis.call('ZADD', stuck, 'NX', clock, id)
            if clock - redis.call('ZSCORE', stuck, id) >= patience then
                redis.call('LREM', intermediate, 1, id)
                redis.call('ZREM', stuck, id)
                survive(id, queue)
            end
        end
    end
    -- One that was started in time may stand there again some day.
    for _, id in ipairs(redis.call('ZRANGE', stuck, 0, -1)) do
        if not there[id] then
            redis.call('ZREM', stuck, id)
        end
    end
end

local prefix = rq .. ':queue:'
for _, key in ipairs(redis.call('SMEMBERS', queues)) do
    local queue = string.sub(key, #prefix + 1)
    pcall(bury_stock, queue)
    pcall(free_stuck, queue)
end
return {again, poisoned, #dead == most and 1 or 0}
