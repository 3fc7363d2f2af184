-- Guarantees: a job, its latest result and when it is due are of one moment. Changes nothing.
-- KEYS: rq:job:ID, rq:results:ID, rq:scheduled:Q   ARGV: the id
-- Returns: the hash, the results (at most one), when it is due
return {
    redis.call('HGETALL', KEYS[1]),
    redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1),
    redis.call('ZSCORE', KEYS[3], ARGV[1]),
}
