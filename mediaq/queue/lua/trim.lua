-- Guarantees: the registries and the index of ends lose what has expired, the index learns of the jobs that
-- stock workers finished, then the oldest finished jobs beyond the limit are forgotten. The registry of cancelled
-- jobs, whose entries do not expire, loses those whose jobs are gone. Calls go on where the last one left off.
-- Bounded: looks at about ARGV[5] entries of each registry and twice as many of the index.
-- After evict.lua.
-- KEYS: rq:finished:Q, rq:failed:Q, the index of ends, where the passes have got to, rq:canceled:Q
-- ARGV: RQ's prefix, our prefix, queue, now (epoch seconds), how many entries at most, how many jobs stay (or
--       empty)
-- Returns: {how many jobs were forgotten, 1 if there is more of what has expired or is too many else 0}
local finished, failed, ended, reached, canceled = unpack(KEYS)
local rq, ours, queue, now, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local keep = tonumber(ARGV[6])
local more, went = 0, 0

local function drop_expired(registry)
    local ids = redis.call('ZRANGEBYSCORE', registry, 0, now, 'LIMIT', 0, most)
    if #ids > 0 then
        redis.call('ZREM', registry, unpack(ids))
    end
    if #ids == most then
        more = 1
    end
end

-- The entries that follow those of the last pass; after the last come the first again.
local function next_ids(key)
    local from = redis.call('HGET', reached, key) or 0
    local cursor, entries = unpack(redis.call('ZSCAN', key, from, 'COUNT', most))
    if cursor == '0' then
        redis.call('HDEL', reached, key)
    else
        redis.call('HSET', reached, key, cursor)
    end
    local ids = {}
    for at = 1, #entries, 2 do
        ids[#ids + 1] = entries[at]
    end
    return ids
end

-- RQ writes dates as ISO 8601 in UTC. A job without one counts as the oldest.
local function epoch_seconds(date)
    local pattern = '^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)Z?$'
    local year, month, day, hour, minute, second = string.match(date or '', pattern)
    if not year then
        return 0
    end
    -- Years begin in March, so that the day that may be missing is the last.
    if tonumber(month) <= 2 then
        year, month = year - 1, month + 12
    end
    local days = 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
                 + math.floor((153 * (month - 3) + 2) / 5) + day - 1 - 719468
    return days * 86400 + hour * 3600 + minute * 60 + second
end

local function index(id)
    local status, ended_at = unpack(redis.call('HMGET', rq .. ':job:' .. id, 'status', 'ended_at'))
    if status then
        redis.call('ZADD', ended, string.format('%.6f', epoch_seconds(ended_at)), id)
    else
        redis.call('ZREM', finished, id)
        forget(rq, id)
    end
end

drop_expired(finished)
drop_expired(failed)
for _, id in ipairs(next_ids(finished)) do
    index(id)
end
for _, id in ipairs(next_ids(ended)) do
    if not redis.call('ZSCORE', finished, id) then
        redis.call('ZREM', ended, id)
    end
end
for _, id in ipairs(next_ids(canceled)) do
    if redis.call('EXISTS', rq .. ':job:' .. id) == 0 then
        redis.call('ZREM', canceled, id)
    end
end
if keep then
    went = evict(rq, ours, queue, keep, most, now)
    if redis.call('ZCARD', finished) > keep then
        more = 1
    end
end
return {went, more}
