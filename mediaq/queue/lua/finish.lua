-- Guarantees: an execution ends once, and only while its lease and its entry in the started registry stand: one
-- that was taken over, cancelled or deleted meanwhile leaves nothing but its own traces removed. What a job
-- leaves, and the jobs that waited for it, become visible in one step.
-- After admit.lua, dependents.lua, evict.lua.
-- KEYS: the leases, rq:worker:W, rq:worker:W:executions, rq:queues
-- ARGV: RQ's prefix, our prefix, now (epoch seconds), now (as RQ writes it), then for each execution, in the order
--       of NAMES: its job, its own id, its queue; what it counts as; successful or failed, as RQ's workers count,
--       or empty; seconds worked; finished, failed or empty; the score in that registry; front, back, at or empty:
--       where it goes next; when (for at); seconds the job stays (0: it goes now; negative: for ever; empty: as it
--       is); 1 where it waited for other jobs; met, failed or empty: what it is to those that wait for it; finished
--       jobs of the queue that stay (or empty); seconds the result stays (negative: for ever; empty: as it is);
--       how many items the hash gets, the items; how many items the result has, the items
-- Returns: for each execution ended, gone, canceled, lost or why Redis refused its end
local leases, worker, held, queues = unpack(KEYS)
local rq, ours, now, written = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local call = redis.call
local NAMES = {'id', 'execution', 'queue', 'outcome', 'tally', 'worked', 'registry', 'score', 'next', 'when', 'stays',
               'waited', 'dependents', 'keep', 'result_stays'}
-- Entries that one end of a job looks at to remove finished jobs beyond the limit: more than it adds, so that a
-- backlog shrinks.
local MOST_EVICTED = 3
-- A stream's node takes 4,096 bytes at once at the server's default settings; a copy takes what it needs.
local WORTH_PACKING = 3000
-- RQ: DEFAULT_FAILURE_TTL
local FAILURE_STAYS = 31536000

local at = 4
local function next_items()
    at = at + 1
    local from, to = at + 1, at + tonumber(ARGV[at])
    at = to
    return from, to
end

local function next_end()
    local this = {}
    for index = 1, #NAMES do
        this[NAMES[index]] = ARGV[at + index]
    end
    at = at + #NAMES
    this.fields_from, this.fields_to = next_items()
    this.result_from, this.result_to = next_items()
    this.job = rq .. ':job:' .. this.id
    this.member = this.id .. ':' .. this.execution
    return this
end

-- A call takes longer than most commands do: what can be done for all of a batch at once, is.
local function remove_traces(batch)
    local leased, hashes, members = {}, {}, {}
    for index, this in ipairs(batch) do
        leased[index], members[index] = this.member .. ':' .. this.queue, this.member
        hashes[index] = rq .. ':execution:' .. this.member
        this.started = call('ZREM', rq .. ':wip:' .. this.queue, this.member) == 1
        call('ZREM', rq .. ':executions:' .. this.id, this.execution)
    end
    for index, lease in ipairs(call('ZMSCORE', leases, unpack(leased))) do
        batch[index].held = lease and batch[index].started
    end
    call('ZREM', leases, unpack(leased))
    call('DEL', unpack(hashes))
    call('SREM', held, unpack(members))
end

local function keep_result(this)
    local key = rq .. ':results:' .. this.id
    call('XADD', key, 'MAXLEN', '~', 10, '*', unpack(ARGV, this.result_from, this.result_to))
    local bytes = 0
    for item = this.result_from, this.result_to do
        bytes = bytes + #ARGV[item]
    end
    if bytes < WORTH_PACKING and redis.pcall('COPY', key, key .. ':packed') == 1 then
        call('RENAME', key .. ':packed', key)
    end
    local stays = tonumber(this.result_stays)
    if stays and stays >= 0 then
        call('EXPIRE', key, stays)
    elseif stays then
        call('PERSIST', key)
    end
end

local registered, limits = {}, {}
local function add(key, score, id)
    local entries = registered[key] or {}
    registered[key] = entries
    entries[#entries + 1], entries[#entries + 2] = score, id
end

local function register(this)
    add(rq .. ':' .. this.registry .. ':' .. this.queue, this.score, this.id)
    -- Where there is a limit; the passes of others that have one learn of the job from its hash.
    if this.registry == 'finished' and this.keep ~= '' then
        add(ours .. ':ended:' .. this.queue, now, this.id)
        limits[this.queue] = tonumber(this.keep)
    end
end

local function write_registers(ends)
    -- The ends stand in the jobs' hashes: a list of them that is of another type must not undo them.
    for key, entries in pairs(registered) do
        redis.pcall('ZADD', key, unpack(entries))
    end
    for queue, keep in pairs(limits) do
        pcall(evict, rq, ours, queue, keep, MOST_EVICTED * ends, now)
    end
end

local function move_on(this)
    local list = rq .. ':queue:' .. this.queue
    if this.next == 'front' then
        call('LPUSH', list, this.id)
    elseif this.next == 'back' then
        call('RPUSH', list, this.id)
    else
        call('ZADD', rq .. ':scheduled:' .. this.queue, this.when, this.id)
    end
    call('SADD', queues, list)
end

local function stay(this)
    local stays = tonumber(this.stays)
    if stays == 0 then
        forget(rq, this.id)
    elseif stays and stays > 0 then
        call('EXPIRE', this.job, stays)
        -- Not where it is known that nobody waits.
        if this.some_wait ~= false then
            call('EXPIRE', this.job .. ':dependents', stays)
        end
        if this.waited == '1' then
            call('EXPIRE', rq .. ':job::' .. this.id .. ':dependencies', stays)
        end
    end
end

local tallies, outcomes, worked = {successful = 0, failed = 0}, {}, 0
local function count(this)
    local key = ours .. ':outcomes:' .. this.queue
    outcomes[key] = outcomes[key] or {}
    outcomes[key][this.outcome] = (outcomes[key][this.outcome] or 0) + 1
    if this.tally ~= '' then
        tallies[this.tally] = tallies[this.tally] + 1
        worked = worked + this.worked
    end
end

local function finish(this)
    local status = call('HGET', this.job, 'status')
    if not status then
        return 'gone'
    elseif status == 'canceled' then
        return 'canceled'
    elseif not this.held then
        return 'lost'
    end
    call('HSET', this.job, unpack(ARGV, this.fields_from, this.fields_to))
    if this.dependents ~= '' then
        this.some_wait = free_dependents(rq, this.id, this.dependents == 'failed', now, written)
    end
    if this.result_to >= this.result_from then
        keep_result(this)
    end
    if this.registry ~= '' then
        register(this)
    end
    if this.next ~= '' then
        move_on(this)
    end
    stay(this)
    count(this)
    return 'ended'
end

-- An end that Redis refuses, for one of its job's keys is of another type, must not take the others with it.
local function finish_safely(this)
    local sound, what = pcall(finish, this)
    if sound then
        return what
    end
    local why = 'Redis refused how this job ended: ' .. (type(what) == 'table' and what.err or what)
    -- The stream of results may be what is of another type; RQ reads a reason here as well.
    redis.pcall('HSET', this.job, 'status', 'failed', 'ended_at', written, 'exc_info', why)
    add(rq .. ':failed:' .. this.queue, math.floor(now) + FAILURE_STAYS, this.id)
    this.outcome, this.tally = 'failed', 'failed'
    count(this)
    return why
end

local batch, answer = {}, {}
while at < #ARGV do
    batch[#batch + 1] = next_end()
end
if #batch > 0 then
    remove_traces(batch)
end
for index, this in ipairs(batch) do
    answer[index] = finish_safely(this)
end
write_registers(#batch)

for key, counts in pairs(outcomes) do
    for outcome, jobs in pairs(counts) do
        redis.pcall('HINCRBY', key, outcome, jobs)
    end
end
if call('EXISTS', worker) == 1 then
    for tally, jobs in pairs(tallies) do
        if jobs > 0 then
            call('HINCRBY', worker, tally .. '_job_count', jobs)
        end
    end
    if worked > 0 then
        call('HINCRBYFLOAT', worker, 'total_working_time', worked)
    end
    if call('EXISTS', held) == 0 then
        call('HSET', worker, 'state', 'idle')
    end
end
return answer
