-- Guarantees: of a queue's finished jobs the newest stay, by when they ended, whatever their times to live.
-- Of those that go every key goes, unless the job is to run again: then only its entry in the registry does.
-- Defines: forget(rq, id), and evict(rq, ours, queue, keep, most, now), which looks at the `most` oldest
--          entries of the index of ends and returns how many jobs went.

local function forget(rq, id)
    local job = rq .. ':job:' .. id
    local group = redis.call('HGET', job, 'group_id')
    if group and group ~= '' then
        redis.call('SREM', rq .. ':group:' .. group, id)
    end
    redis.call('DEL', job, job .. ':dependents', rq .. ':job::' .. id .. ':dependencies',
               rq .. ':results:' .. id, rq .. ':executions:' .. id)
end

local function evict(rq, ours, queue, keep, most, now)
    local finished, ended = rq .. ':finished:' .. queue, ours .. ':ended:' .. queue
    local indexed = redis.call('ZCARD', ended)
    if indexed <= keep then
        return 0
    end
    -- What has expired may still stand in the registry and in the index, and what a stock worker finished may
    -- not be in the index yet: there are too many only if both have too many.
    local living = redis.call('ZCARD', finished) - redis.call('ZCOUNT', finished, 0, now)
    local went = 0
    for _, id in ipairs(redis.call('ZRANGE', ended, 0, most - 1)) do
        if indexed <= keep or living <= keep then
            break
        end
        local expires = tonumber(redis.call('ZSCORE', finished, id) or 0)
        redis.call('ZREM', ended, id)
        indexed = indexed - 1
        if expires < 0 or expires > now then
            local status = redis.call('HGET', rq .. ':job:' .. id, 'status')
            redis.call('ZREM', finished, id)
            living = living - 1
            went = went + 1
            -- RQ keeps a job that repeats among the finished ones while it waits for its next run.
            if not status or status == 'finished' then
                forget(rq, id)
            end
        end
    end
    return went
end
