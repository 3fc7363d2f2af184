-- Guarantees: of those who share a queue none waits for another's whole backlog, and none is overtaken for ever. A
-- job's place in the plain list is that of its round: of one who has nothing waiting, the round that is being
-- served, or the next where that one's first job has left; else the round after that of one's last job. A round has
-- one job of each, in the order in which they came, so that the queue is served in turns; whoever comes later cannot
-- get in front of the next job of those who wait.
-- What it rests on is written down with the jobs themselves: a round counts as long as its job has not been put
-- elsewhere since, and one's last job only while it waits. Jobs that stock tools took, removed or put back, and jobs
-- of nobody, are passed over; what is lost with a key is made good by the next job.
-- Bounded: 20 steps to find the place; a place beyond MOST_PASSED entries is the back.
-- Defines: enter_fairly(rq, queue, id, share, written)

-- Entries without a round that one look passes over.
local MOST_SKIPPED = 16
-- Redis walks from the front to where it inserts, some 60 entries a microsecond.
local MOST_PASSED = 20000
-- Seconds for which the last job of one that brings no further ones is remembered: a week.
local REMEMBERED = 604800

local function round_of(rq, id)
    -- A key of another type is passed over like any other that has no round.
    local found = redis.pcall('HMGET', rq .. ':job:' .. id, 'mediaq_round', 'enqueued_at')
    local round, at = string.match(found[1] or '', '^(%d+) (.+)$')
    return at == found[2] and tonumber(round) or nil
end

-- The first entry with a round from an index on, forwards (step 1) or backwards: its index, id and round.
local function look(rq, list, from, step)
    for index = from, from + step * (MOST_SKIPPED - 1), step do
        local id = redis.call('LINDEX', list, index)
        if not id then
            return nil
        end
        local round = round_of(rq, id)
        if round then
            return index, id, round
        end
    end
end

local function current_round(rq, list, rounds)
    local _, id, round = look(rq, list, 0, 1)
    local known, first = unpack(redis.call('HMGET', rounds, 'round', 'first'))
    if not round then
        return (tonumber(known) or 0) + 1
    end
    if tonumber(known) ~= round then
        redis.call('HSET', rounds, 'round', round, 'first', id)
        return round
    end
    return first == id and round or round + 1
end

local function next_round(rq, list, rounds, share, latest)
    local current = current_round(rq, list, rounds)
    local last = redis.call('GET', rounds .. ':' .. share)
    local status = last and redis.call('HGET', rq .. ':job:' .. last, 'status')
    -- Whoever cancels a job does not get another turn for it.
    local round = (status == 'queued' or status == 'canceled') and round_of(rq, last)
    return round and math.max(current, math.min(round, latest) + 1) or current
end

-- The index of the first entry of a later round; the list's length where there is none.
local function find_place(rq, list, round)
    local low, high = 0, redis.call('LLEN', list)
    while low < high do
        local middle = math.floor((low + high) / 2)
        local index, _, found = look(rq, list, middle, 1)
        if not index then
            low = math.min(middle + MOST_SKIPPED, high)
        elseif found > round then
            high = middle
        else
            low = math.min(index + 1, high)
        end
    end
    return low
end

local function enter_fairly(rq, queue, id, share, written)
    local list = rq .. ':queue:' .. queue
    -- As keys.py spells our own.
    local rounds = (rq == 'rq' and 'mediaq' or 'mediaq:' .. rq) .. ':rounds:' .. queue
    local _, _, latest = look(rq, list, -1, -1)
    local round = next_round(rq, list, rounds, share, latest or 0)
    local place = latest and latest > round and find_place(rq, list, round)
    if place and place <= MOST_PASSED then
        redis.call('LINSERT', list, 'BEFORE', redis.call('LINDEX', list, place), id)
    else
        round = math.max(round, latest or 0)
        redis.call('RPUSH', list, id)
    end
    redis.call('HSET', rq .. ':job:' .. id, 'mediaq_round', round .. ' ' .. written)
    redis.call('SET', rounds .. ':' .. share, id, 'EX', REMEMBERED)
    redis.call('EXPIRE', rounds, REMEMBERED)
end
