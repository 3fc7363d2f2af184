-- Guarantees: of requests to many processes, as many are admitted per second as one rate allows, and up to `burst` at
-- once after a pause; one that is not admitted uses up nothing.
-- After rate.lua.
-- KEYS: the rate's hash
-- ARGV: requests per second, requests that may come at once
-- Returns: 0 where it is admitted, else microseconds until one would be
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local state = read(KEYS[1], rate, burst)

local wait = until_served(state, state.issued + 1, rate)
if wait == 0 then
    state.issued = state.issued + 1
    write(KEYS[1], state, rate)
end
return math.ceil(wait * 1e6)
