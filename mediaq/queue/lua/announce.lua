-- Guarantees: what is told of a job stands in the stream of events and, where its meta changes, in its meta, in one
-- step. A job that Redis has forgotten is not brought back; listeners hear of it anyway. The stream stays short.
-- KEYS: rq:job:ID, the stream
-- ARGV: how many events are kept about, the meta as RQ writes it ('': unchanged), the job's id, its queue, its share,
--       and of each event: what happened, and more of it as JSON
local job, stream = unpack(KEYS)
local kept, meta, id, queue, share = unpack(ARGV, 1, 5)
if meta ~= '' and redis.call('EXISTS', job) == 1 then
    redis.call('HSET', job, 'meta', meta)
end
for n = 6, #ARGV, 2 do
    redis.call('XADD', stream, 'MAXLEN', '~', kept, '*', 'job', id, 'queue', queue, 'share', share,
               'event', ARGV[n], 'data', ARGV[n + 1])
end
return 1
