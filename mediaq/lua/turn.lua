-- Guarantees: a caller has one ticket, and learns when it is served; whoever asks again with it keeps it, unless
-- it is not known or was served too long ago for its call to be counted there: then it gets the next one.
-- After rate.lua.
-- KEYS: the rate's hash
-- ARGV: calls per second, calls that may be made at once, the caller's ticket (or empty), seconds a call may be late
-- Returns: {ticket, microseconds until it is served}
local rate, burst, ticket, late = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local state = read(KEYS[1], rate, burst)

if not ticket or ticket > state.issued or state.served - ticket > math.max(burst, rate * late) then
    state.issued = state.issued + 1
    ticket = state.issued
end
write(KEYS[1], state, rate)
return {ticket, math.ceil(until_served(state, ticket, rate) * 1e6)}
