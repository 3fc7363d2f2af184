-- Guarantees: of all schedulers, stock ones too, only the one that holds RQ's lock on a queue moves its jobs.
-- A due job leaves the registry and enters its queue in one step, once; an id whose job is gone is let go.
-- Bounded: moves ARGV[6] jobs of each queue.
-- After admit.lua.
-- KEYS: rq:scheduler:NAME, then for each queue rq:scheduler-lock:Q, rq:scheduled:Q
-- ARGV: RQ's prefix, the scheduler's name, now (epoch seconds), now (as RQ writes it), seconds a lock lives,
--       jobs of each queue at most, how many queues, their names, then the fields of rq:scheduler:NAME
-- Returns: {how many jobs were moved, 1 if more may be due else 0}
local rq, name, now, written = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local lock_lives, most, queues = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local held, moved, more = 0, 0, 0

local function hold(lock)
    local holder = redis.call('GET', lock)
    if holder and holder ~= name then
        return false
    end
    redis.call('SET', lock, name, 'EX', lock_lives)
    held = held + 1
    return true
end

local function move(queue, scheduled)
    local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, most)
    for _, id in ipairs(due) do
        redis.call('ZREM', scheduled, id)
        if redis.call('HEXISTS', rq .. ':job:' .. id, 'data') == 1 then
            admit(rq, id, queue, now, written)
            moved = moved + 1
        end
    end
    if #due == most then
        more = 1
    end
end

for index = 1, queues do
    if hold(KEYS[2 * index]) then
        move(ARGV[7 + index], KEYS[2 * index + 1])
    end
end
if held > 0 then
    redis.call('HSET', KEYS[1], unpack(ARGV, 8 + queues))
    redis.call('EXPIRE', KEYS[1], lock_lives)
end
return {moved, more}
