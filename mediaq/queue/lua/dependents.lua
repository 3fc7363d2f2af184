-- Guarantees: in the step that ends a job, each job that waited for nothing else leaves its deferred registry and
-- enters its queue, by RQ's rules.
-- After admit.lua.
-- Defines: free_dependents(rq, id, failed, now, written), which returns whether any job waited.

local function others_met(rq, id, parent, allows_failures)
    for _, other in ipairs(redis.call('SMEMBERS', rq .. ':job::' .. id .. ':dependencies')) do
        if other ~= parent then
            local status = redis.call('HGET', rq .. ':job:' .. other, 'status')
            -- RQ holds a job that is gone for done.
            if status and status ~= 'finished' and not (allows_failures and status == 'failed') then
                return false
            end
        end
    end
    return true
end

local function free_dependents(rq, id, failed, now, written)
    local waiting = redis.call('SMEMBERS', rq .. ':job:' .. id .. ':dependents')
    for _, dependent in ipairs(waiting) do
        local status, origin, allows = unpack(redis.call('HMGET', rq .. ':job:' .. dependent, 'status', 'origin',
                                                         'allow_dependency_failures'))
        allows = allows == '1'
        if status and origin and status ~= 'canceled' and (allows or not failed)
            and others_met(rq, dependent, id, allows) then
            redis.call('SREM', rq .. ':job:' .. id .. ':dependents', dependent)
            redis.call('ZREM', rq .. ':deferred:' .. origin, dependent)
            admit(rq, dependent, origin, now, written)
        end
    end
    return #waiting > 0
end
