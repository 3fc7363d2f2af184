-- Guarantees: while a worker shows signs of life, every execution that Redis holds for it stays its own, also one
-- whose start it has not heard of yet. What was taken over stays taken over.
-- KEYS: the leases, rq:worker:W, rq:worker:W:executions
-- ARGV: RQ's prefix, now (epoch seconds), now (as RQ writes it), seconds of a lease, RQ's monitoring interval,
--       seconds the worker's hash stays, worker, then for each execution it knows to run: job, execution, queue,
--       since when (epoch seconds)
-- Returns: 1 if the worker is registered, else 0; then for each execution {job, execution, queue, held or
--          canceled}
local leases, worker, held = unpack(KEYS)
local rq, now, written, interval = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[5])
local time = redis.call('TIME')
local lease_ends = time[1] + time[2] / 1e6 + ARGV[4]

-- RQ's own times: 60 s beyond what is left of the job's timeout, or of the interval.
local function seconds_to_live(timeout, since)
    timeout = tonumber(timeout)
    if timeout and timeout > 0 then
        return math.floor(math.min(math.max(timeout - (now - since), 0), interval)) + 60
    end
    return interval + 60
end

local function renew(member, id, execution)
    local key = rq .. ':execution:' .. member
    local found = redis.call('HMGET', key, 'created_at', 'queue')
    local since, queue = tonumber(found[1]), found[2]
    if not since or not queue then
        return nil
    end
    local lease = member .. ':' .. queue
    if not redis.call('ZSCORE', leases, lease) then
        return nil
    end
    redis.call('ZADD', leases, 'XX', lease_ends, lease)
    local job = rq .. ':job:' .. id
    local fields = redis.call('HMGET', job, 'status', 'timeout')
    local ttl = seconds_to_live(fields[2], since)
    redis.call('HSET', key, 'last_heartbeat', ARGV[2])
    redis.call('EXPIRE', key, ttl)
    redis.call('ZADD', rq .. ':wip:' .. queue, 'XX', math.floor(now) + ttl, member)
    redis.call('ZADD', rq .. ':executions:' .. id, 'XX', math.floor(now) + ttl + 60, execution)
    redis.call('EXPIRE', rq .. ':executions:' .. id, ttl + 60)
    -- A job that was deleted goes on, as under stock workers; it is not brought back.
    if fields[1] then
        redis.call('HSET', job, 'last_heartbeat', written)
    end
    return {id, execution, queue, fields[1] == 'canceled' and 'canceled' or 'held'}
end

-- Redis was away for longer than RQ's entries live; whose lease stands, nobody has taken over.
local function revive(id, execution, queue, since)
    local member = id .. ':' .. execution
    if redis.call('EXISTS', rq .. ':execution:' .. member) == 1
        or not redis.call('ZSCORE', leases, member .. ':' .. queue)
        or redis.call('HGET', rq .. ':job:' .. id, 'status') ~= 'started' then
        return
    end
    redis.call('HSET', rq .. ':execution:' .. member, 'id', execution, 'job_id', id, 'created_at', since,
               'last_heartbeat', ARGV[2], 'worker_name', ARGV[7], 'queue', queue)
    redis.call('ZADD', rq .. ':wip:' .. queue, math.floor(now), member)
    redis.call('ZADD', rq .. ':executions:' .. id, math.floor(now), execution)
    redis.call('SADD', held, member)
end

for at = 8, #ARGV, 4 do
    revive(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end

local answer = {redis.call('EXISTS', worker)}
for _, member in ipairs(redis.call('SMEMBERS', held)) do
    local id, execution = string.match(member, '^([^:]+):([^:]+)$')
    local found = id and renew(member, id, execution)
    if found then
        answer[#answer + 1] = found
    else
        redis.call('SREM', held, member)
    end
end
if answer[1] == 1 then
    redis.call('HSET', worker, 'last_heartbeat', written)
    redis.call('EXPIRE', worker, ARGV[6])
    redis.call('EXPIRE', held, ARGV[6] + 60)
end
return answer
