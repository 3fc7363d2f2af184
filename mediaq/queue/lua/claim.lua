-- Guarantees: taking a job and starting it are one step. An id that leaves a list has an execution, a lease and
-- its worker's name at once; an id whose job is gone, was cancelled, still runs elsewhere or is none of RQ's is let
-- go.
-- KEYS: rq:suspended, the paused queues, the leases, rq:worker:W, rq:worker:W:executions,
--       then for each lane rq:queue:Q, rq:wip:Q
-- ARGV: RQ's prefix, worker, now (epoch seconds), now (as RQ writes it), seconds of a lease, a random token,
--       RQ's monitoring interval, then for each lane its queue's name and how many jobs it takes at most
-- Returns: 1 if suspended, else 0; then for each lane {paused, broken, more (where ids were left that lead nowhere) or
--          empty, {id, execution, hash}, ...}
local suspended, paused, leases, worker, held = unpack(KEYS)
local rq, name, now, written, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[6]
local interval = tonumber(ARGV[7])
local call = redis.call
-- Ids that lead nowhere and are passed over in one call, to keep Redis responsive.
local MOST_PASSED_OVER = 1000

if call('EXISTS', suspended) == 1 then
    if call('EXISTS', worker) == 1 then
        call('HSET', worker, 'state', 'suspended')
    end
    return {1}
end

local time = call('TIME')
local lease_ends = time[1] + time[2] / 1e6 + ARGV[5]
local second = math.floor(now)
local taken = 0
-- Written once for all jobs of a lane.
local entries, leased, members = {}, {}, {}

-- RQ's own times: executions and the started registry outlive the last sign of life by 60 s.
local function seconds_to_live(timeout)
    timeout = tonumber(timeout)
    if timeout and timeout > 0 then
        return math.floor(math.min(timeout, interval)) + 60
    end
    return interval + 60
end

local function runs_elsewhere(id, wip)
    for _, execution in ipairs(call('ZRANGE', rq .. ':executions:' .. id, 0, -1)) do
        local expires = call('ZSCORE', wip, id .. ':' .. execution)
        if expires and tonumber(expires) > now then
            return true
        end
    end
    return false
end

local function start(id, job, queue, timeout)
    local execution = string.format('%s%08x', token, taken + 1)
    local member = id .. ':' .. execution
    local key, executions = rq .. ':execution:' .. member, rq .. ':executions:' .. id
    local ttl = seconds_to_live(timeout)
    -- First, for it fails where the key is of another type.
    call('ZADD', executions, second + ttl + 60, execution)
    call('EXPIRE', executions, ttl + 60)
    call('HSET', key, 'id', execution, 'job_id', id, 'created_at', ARGV[3], 'last_heartbeat', ARGV[3],
         'worker_name', name, 'queue', queue)
    call('EXPIRE', key, ttl)
    call('HSET', job, 'status', 'started', 'started_at', written, 'last_heartbeat', written, 'worker_name', name)
    call('PERSIST', job)
    entries[#entries + 1], entries[#entries + 2] = second + ttl, member
    leased[#leased + 1], leased[#leased + 2] = lease_ends, member .. ':' .. queue
    members[#members + 1] = member
    taken = taken + 1
    return execution
end

local function record(wip)
    if #members > 0 then
        call('ZADD', wip, unpack(entries))
        call('ZADD', leases, unpack(leased))
        call('SADD', held, unpack(members))
        entries, leased, members = {}, {}, {}
    end
end

local function read(job)
    local hash = call('HGETALL', job)
    local found = {}
    for at = 1, #hash, 2 do
        local field = hash[at]
        if field == 'status' or field == 'timeout' or field == 'data' then
            found[field] = hash[at + 1]
        end
    end
    return hash, found
end

local function try(id, wip, queue)
    -- RQ's tools take no other ids.
    if not string.find(id, '^[%w_-]+$') then
        return nil
    end
    local job = rq .. ':job:' .. id
    local hash, found = read(job)
    local status = found.status
    if not found.data or status == 'canceled' or (status == 'started' and runs_elsewhere(id, wip)) then
        return nil
    end
    return {id, start(id, job, queue, found.timeout), hash}
end

-- What is of another type than RQ's must not take the other jobs with it; anything else is everybody's trouble.
local function try_safely(...)
    local sound, found = pcall(try, ...)
    if sound then
        return found
    end
    if not string.find(type(found) == 'table' and found.err or found, 'WRONGTYPE') then
        error(found)
    end
    return nil
end

local function take(list, wip, queue, most)
    if call('SISMEMBER', paused, queue) == 1 then
        return {'paused'}
    end
    -- Before anything is taken: a key of another type must not take the other queues with it.
    if type(redis.pcall('LLEN', list)) == 'table' or type(redis.pcall('ZCARD', wip)) == 'table' then
        return {'broken'}
    end
    local jobs, passed_over = {''}, 0
    while #jobs <= most do
        if passed_over >= MOST_PASSED_OVER then
            jobs[1] = 'more'
            break
        end
        local ids = call('LPOP', list, most + 1 - #jobs)
        if not ids then
            break
        end
        for _, id in ipairs(ids) do
            local found = try_safely(id, wip, queue)
            if found then
                jobs[#jobs + 1] = found
            else
                passed_over = passed_over + 1
            end
        end
    end
    record(wip)
    return jobs
end

local answer = {0}
for lane = 1, (#ARGV - 7) / 2 do
    answer[lane + 1] = take(KEYS[4 + 2 * lane], KEYS[5 + 2 * lane], ARGV[6 + 2 * lane],
                            tonumber(ARGV[7 + 2 * lane]))
end

local state = call('HGET', worker, 'state')
if taken > 0 and state and state ~= 'busy' then
    call('HSET', worker, 'state', 'busy')
elseif taken == 0 and (state == 'started' or state == 'suspended') then
    call('HSET', worker, 'state', call('EXISTS', held) == 1 and 'busy' or 'idle')
end
call('EXPIRE', held, interval + 120)
return answer
