-- Guarantees: a job is in Redis at most once. Pushes it unless Redis has it open already: started by a worker
-- that still shows signs of life, scheduled, deferred, or queued and in a list; or stopped or cancelled there.
-- Repeating the call changes nothing. One of a share of the queue goes to its fair place, others to the back.
-- After fair.lua, admit.lua.
-- KEYS: rq:job:ID, rq:queue:Q, rq:queue:Q:intermediate, rq:queues, rq:results:ID, rq:finished:Q, rq:failed:Q,
--       rq:wip:Q, rq:executions:ID, rq:scheduled:Q
-- ARGV: RQ's prefix, seconds beyond now at which a living worker's execution expires at least, now (as RQ
--       writes it), job id, then the names and values of the job's hash but for its status
local job, list, intermediate, queues, results, finished, failed, wip, executions, scheduled = unpack(KEYS)
local rq, alive, written, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local status = redis.call('HGET', job, 'status')
if status == 'deferred' or status == 'stopped' or status == 'canceled' then
    return 0
end
-- RQ writes the status before the entry: a worker that dies between the two leaves the status alone.
if status == 'scheduled' and redis.call('ZSCORE', scheduled, id) then
    return 0
end
if status == 'started' and redis.call('ZCOUNT', executions, redis.call('TIME')[1] + alive, '+inf') > 0 then
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
redis.call('LREM', list, 0, id)
redis.call('ZREM', scheduled, id)
redis.call('ZREM', finished, id)
redis.call('ZREM', failed, id)
redis.call('HSET', job, unpack(ARGV, 5))
redis.call('SADD', queues, list)
push(rq, id, redis.call('HGET', job, 'origin'), false, written)
return 1
