-- Guarantees: a job enters its queue as RQ's own code puts it there: at the front if it asks for that, with
-- RQ's timeout if it has none, and if it has a rate limit, when that lets it in. One of a share of the queue goes to
-- its fair place instead of the back.
-- After fair.lua.
-- Defines: admit(rq, id, queue, now, written), and of what it consists: set_expiry(rq, id, ttl),
--          push(rq, id, queue, at_front, written),
--          wait_for_slot(rq, id, key, concurrency, at_front, now, written)

local function set_expiry(rq, id, ttl)
    ttl = tonumber(ttl)
    if ttl and ttl > 0 then
        local job = rq .. ':job:' .. id
        for _, key in ipairs({job, job .. ':dependents', rq .. ':job::' .. id .. ':dependencies'}) do
            redis.call('EXPIRE', key, ttl)
        end
    end
end

local function push(rq, id, queue, at_front, written)
    redis.call('HSET', rq .. ':job:' .. id, 'status', 'queued', 'enqueued_at', written)
    local share = not at_front and redis.call('HGET', rq .. ':job:' .. id, 'mediaq_share')
    if share then
        enter_fairly(rq, queue, id, share, written)
    else
        redis.call(at_front and 'LPUSH' or 'RPUSH', rq .. ':queue:' .. queue, id)
    end
end

-- Fills a rate limit's free slots with those that wait, whoever came first.
local function fill_slots(rq, key, concurrency, now, written)
    local limit = rq .. ':rl:' .. key
    while redis.call('ZCARD', limit .. ':allowed') < concurrency do
        local id = redis.call('ZPOPMIN', limit .. ':rate_limited')[1]
        if not id then
            return
        end
        local origin, status, front =
            unpack(redis.call('HMGET', rq .. ':job:' .. id, 'origin', 'status', 'enqueue_at_front'))
        if origin and status == 'rate_limited' then
            redis.call('ZADD', limit .. ':allowed', math.floor(now), id)
            push(rq, id, origin, front == '1', written)
        end
    end
end

local function wait_for_slot(rq, id, key, concurrency, at_front, now, written)
    local limit = rq .. ':rl:' .. key
    redis.call('SADD', rq .. ':rl-keys', key)
    redis.call('HSET', limit, 'concurrency', concurrency)
    redis.call('HSET', rq .. ':job:' .. id, 'status', 'rate_limited')
    if at_front then
        redis.call('HSET', rq .. ':job:' .. id, 'enqueue_at_front', 1)
    end
    redis.call('ZADD', limit .. ':rate_limited', math.floor(now), id)
    fill_slots(rq, key, tonumber(concurrency), now, written)
end

local function admit(rq, id, queue, now, written)
    local job = rq .. ':job:' .. id
    local timeout, ttl, front, front_again, ended, key, concurrency = unpack(redis.call('HMGET', job,
        'timeout', 'ttl', 'enqueue_at_front', 'enqueue_at_front_on_retry', 'ended_at', 'rate_limit_key',
        'rate_limit_concurrency'))
    local at_front = front == '1' or (front_again == '1' and ended and ended ~= '')
    redis.call('HSET', job, 'origin', queue)
    if not timeout or timeout == '' then
        -- RQ: Queue.DEFAULT_TIMEOUT
        redis.call('HSET', job, 'timeout', 180)
    end
    set_expiry(rq, id, ttl)
    if key and key ~= '' and concurrency then
        wait_for_slot(rq, id, key, concurrency, at_front, now, written)
    else
        push(rq, id, queue, at_front, written)
    end
end
