-- Guarantees: of callers on many machines, as many go on per second as one rate allows, first come, first served.
-- Whoever comes gets the next ticket; tickets are served at the rate, by this server's clock. After a cut the rate
-- is that share of itself, which grows evenly to the whole over RECOVERY seconds.
-- Defines: read(key, rate, burst), write(key, state, rate), until_served(state, ticket, rate)

local RECOVERY = 60

-- What the share sums up to within t seconds of a cut to it.
local function grown(share, t)
    local growing = (1 - share) * RECOVERY
    if t <= growing then
        return share * t + t * t / (2 * RECOVERY)
    end
    return share * growing + growing * growing / (2 * RECOVERY) + t - growing
end

-- How many seconds after a cut it has summed up to that.
local function grown_at(share, sum)
    local growing = (1 - share) * RECOVERY
    local whole = grown(share, growing)
    if sum <= whole then
        return RECOVERY * (math.sqrt(share * share + 2 * sum / RECOVERY) - share)
    end
    return growing + sum - whole
end

-- Up to `burst` tickets are served before anybody has come for them.
local function read(key, rate, burst)
    local time = redis.call('TIME')
    local now = time[1] + time[2] / 1e6
    local served, issued, at, share, cut =
        unpack(redis.call('HMGET', key, 'served', 'issued', 'at', 'share', 'cut'))
    if not at then
        return {now = now, served = burst, issued = 0, share = 1, cut = now - RECOVERY}
    end
    -- A clock that was set back must not hold everybody up.
    local state = {now = now, issued = tonumber(issued), share = tonumber(share), cut = math.min(cut, now)}
    local since = math.max(math.min(at, now), state.cut)
    local gained = grown(state.share, now - state.cut) - grown(state.share, since - state.cut)
    state.served = math.min(served + rate * gained, state.issued + burst)
    return state
end

local function until_served(state, ticket, rate)
    if ticket <= state.served then
        return 0
    end
    local elapsed = state.now - state.cut
    return grown_at(state.share, grown(state.share, elapsed) + (ticket - state.served) / rate) - elapsed
end

local function write(key, state, rate)
    local function text(number)
        return string.format('%.6f', number)
    end
    redis.call('HSET', key, 'served', text(state.served), 'issued', string.format('%d', state.issued),
               'at', text(state.now), 'share', text(state.share), 'cut', text(state.cut))
    -- Forgotten once the last ticket is served and the share is whole again.
    redis.call('EXPIRE', key, math.ceil(until_served(state, state.issued, rate)) + 2 * RECOVERY)
end
