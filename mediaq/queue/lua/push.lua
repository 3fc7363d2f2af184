-- Guarantees: a job is in Redis at most once. Pushes it only if it stands there as it was seen, so that repeating
-- the call, or making it late, changes nothing; and not if a worker that shows signs of life has it, or if it is in
-- a list or among the scheduled ones where its status says so. One of a share of the queue goes to its fair place,
-- others to the back.
-- After fair.lua, admit.lua.
-- KEYS: rq:job:ID, rq:queue:Q, rq:queue:Q:intermediate, rq:queues, rq:results:ID, rq:finished:Q, rq:failed:Q,
--       rq:wip:Q, rq:executions:ID, rq:scheduled:Q, rq:canceled:Q
-- ARGV: RQ's prefix, seconds beyond now at which a living worker's execution expires at least, now (as RQ
--       writes it), job id, the status it was seen in and its enqueued_at (each empty where there was none), 1 where
--       its id was seen in the list without it, then the names and values of the job's hash but for its status
local job, list, intermediate, queues, results, finished, failed, wip, executions, scheduled, canceled = unpack(KEYS)
local rq, alive, written, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function read(field)
    -- A key of another type is no job: the push replaces it.
    local found = redis.pcall('HGET', job, field)
    return type(found) == 'string' and found or ''
end

local status = read('status')
if status ~= ARGV[5] or read('enqueued_at') ~= ARGV[6] then
    return 0
end
-- RQ writes the status before the entry: a worker that dies between the two leaves the status alone.
if status == 'scheduled' and redis.call('ZSCORE', scheduled, id) then
    return 0
end
-- A stock worker has an execution a moment before the status says so, and still has it a moment after the job was
-- cancelled: until then it may say of the job how it ended.
if (status == 'started' or status == 'queued' or status == 'canceled')
    and redis.call('ZCOUNT', executions, redis.call('TIME')[1] + alive, '+inf') > 0 then
    return 0
end
if status == 'queued' and (redis.call('LPOS', list, id) or redis.call('LPOS', intermediate, id)) then
    return 0
end

for _, execution in ipairs(redis.call('ZRANGE', executions, 0, -1)) do
    redis.call('ZREM', wip, id .. ':' .. execution)
    redis.call('DEL', rq .. ':execution:' .. id .. ':' .. execution)
end
redis.call('DEL', job, results, executions)
-- A search of the whole list, where the id was found there without its job. By any status but `queued` it is in none,
-- and the list was searched for a queued one.
if ARGV[7] == '1' then
    redis.call('LREM', list, 0, id)
end
redis.call('ZREM', scheduled, id)
redis.call('ZREM', finished, id)
redis.call('ZREM', failed, id)
redis.call('ZREM', canceled, id)
redis.call('HSET', job, unpack(ARGV, 8))
redis.call('SADD', queues, list)
push(rq, id, redis.call('HGET', job, 'origin'), false, written)
return 1
