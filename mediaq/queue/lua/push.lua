-- Guarantees: a job is in Redis at most once. Pushes it unless Redis has it open already: started, scheduled,
-- deferred, or queued and in a list. Repeating the call changes nothing.
-- KEYS: rq:job:ID, rq:queue:Q, rq:queue:Q:intermediate, rq:queues, rq:results:ID, rq:finished:Q, rq:failed:Q
-- ARGV: job id, then the fields and values of the job's hash
local job, list, intermediate, queues, results, finished, failed = unpack(KEYS)
local id = ARGV[1]

local status = redis.call('HGET', job, 'status')
if status == 'started' or status == 'scheduled' or status == 'deferred' then
    return 0
end
if status == 'queued' and (redis.call('LPOS', list, id) or redis.call('LPOS', intermediate, id)) then
    return 0
end

redis.call('DEL', job, results)
redis.call('ZREM', finished, id)
redis.call('ZREM', failed, id)
redis.call('HSET', job, unpack(ARGV, 2))
redis.call('SADD', queues, list)
redis.call('RPUSH', list, id)
return 1
