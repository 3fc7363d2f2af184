-- Guarantees: a name holds no place and waits for none; repeating the call changes nothing.
-- KEYS: the places, those that wait, when those that wait are lost
-- ARGV: name
for _, key in ipairs(KEYS) do
    redis.call('ZREM', key, ARGV[1])
end
return 0
