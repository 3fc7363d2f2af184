-- Guarantees: a job that Redis has forgotten is not brought back by its progress; listeners hear of it anyway.
-- KEYS: rq:job:ID   ARGV: the meta as RQ writes it, the channel, the message
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HSET', KEYS[1], 'meta', ARGV[1])
end
return redis.call('PUBLISH', ARGV[2], ARGV[3])
