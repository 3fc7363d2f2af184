-- Guarantees: the rate is cut for everybody, at most once an interval, however many calls were throttled; what was
-- saved up for bursts is gone.
-- After rate.lua.
-- KEYS: the rate's hash
-- ARGV: calls per second, calls that may be made at once, the share that a cut leaves, the least share, seconds
--       between two cuts at least
-- Returns: the share of the rate that is left, in thousandths; 0 where it was cut a moment ago
local rate, burst, left, least = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local state = read(KEYS[1], rate, burst)

local elapsed = state.now - state.cut
if elapsed < tonumber(ARGV[5]) then
    return 0
end
state.share = math.max(math.min(state.share + elapsed / RECOVERY, 1) * left, least)
state.cut = state.now
state.served = math.min(state.served, state.issued)
write(KEYS[1], state, rate)
return math.floor(state.share * 1000)
