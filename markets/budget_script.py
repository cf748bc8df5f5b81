"""The one script in Redis behind every request budget. It runs as a whole, so all processes see one order.

A bucket is a hash: ``tokens`` at the moment ``at``, from which it fills up. A pause is an ``at`` that lies
ahead. Who has to wait stands in a line, a hash of tickets: rank, tag, weight, and until when the ticket
counts without being shown again, so that the ticket of a dead process does not hold up the others for long.

- **Priorities.** A request goes when the bucket holds its weight, what all tickets before it want, and the
  part that is kept for higher ranks. A bucket that is full lets go anyway: a weight larger than the bucket
  is then waited for after it was taken.
- **Fair among askers.** Tickets of one rank go by their tag, the start tag of start-time fair queueing: an
  asker's next request starts where its last one ended, or where the one served last started, if that is
  later. Whoever asks much waits behind those who ask little.
  Source: Goyal, Vin and Cheng (1996), "Start-time Fair Queuing", SIGCOMM.
- **Used.** A venue that counts by the clock's window leaves ``limit - used`` for what is left of it. The
  bucket never holds more than that, less what will fill up by then.

Keys: bucket, line, flows (end of each asker's last request), counts, index.
Arguments: operation, rate, burst, then what the operation takes. Numbers travel as text.
"""

from __future__ import annotations

from typing import Final

SCRIPT: Final = """
local op, rate, burst = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local at = tonumber(state[2]) or now
local tokens = math.min(burst, (tonumber(state[1]) or burst) + math.max(0, now - at) * rate)
at = math.max(at, now)

local function keep()
    redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', tokens), 'at', string.format('%.6f', at))
    for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], math.ceil(600000 + (at - now) * 1000)) end
end

if op == 'pause' then  -- seconds, label: nobody asks for so long, and nothing is left to burst then
    at, tokens = math.max(at, now + tonumber(ARGV[4])), math.min(tokens, 0)
    keep()
    redis.call('HINCRBY', KEYS[4], 'pauses ' .. ARGV[5], 1)
    return {1, '0'}
elseif op == 'used' then  -- used, limit, window: what the venue counted
    local window = tonumber(ARGV[6])
    local room = tonumber(ARGV[5]) - tonumber(ARGV[4]) - rate * (window - now % window)
    if room > tokens - 0.001 then return {0, '0'} end
    tokens = room
    keep()
    return {1, '0'}
elseif op == 'back' then  -- weight: taken, and then not sent
    tokens = math.min(burst, tokens + tonumber(ARGV[4]))
    keep()
    return {1, '0'}
elseif op == 'leave' then  -- ticket
    redis.call('HDEL', KEYS[2], ARGV[4])
    return {1, '0'}
end

-- take: weight, longest wait, rank, kept share, asker, ticket or '', seconds until it shows up again, label,
-- whether to list the bucket
local weight, longest, rank = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local want, asker, ticket = math.min(burst, weight + tonumber(ARGV[7]) * burst), ARGV[8], ARGV[9]
local tag, others = nil, {}
local line = redis.call('HGETALL', KEYS[2])
for i = 1, #line, 2 do
    local r, t, w, lease = string.match(line[i + 1], '^(%S+) (%S+) (%S+) (%S+)$')
    if line[i] == ticket then
        tag = tonumber(t)
    elseif tonumber(lease) < now then
        redis.call('HDEL', KEYS[2], line[i])
    else
        others[#others + 1] =
            {rank = tonumber(r), tag = tonumber(t), weight = tonumber(w), id = tonumber(line[i])}
    end
end
local flow, served = rank .. ' ' .. asker, 'served ' .. rank
if tag == nil then
    if #others == 0 then redis.call('DEL', KEYS[3]) end
    local past = redis.call('HMGET', KEYS[3], flow, served)
    tag = math.max(tonumber(past[1]) or 0, tonumber(past[2]) or 0)
    ticket = tostring(redis.call('HINCRBY', KEYS[1], 'ticket', 1))
    if ARGV[12] == '1' then redis.call('HSET', KEYS[5], KEYS[1], ARGV[11] .. ' ' .. rate .. ' ' .. burst) end
end
local ahead, id = 0, tonumber(ticket)
for _, other in ipairs(others) do
    if other.rank < rank or (other.rank == rank and
        (other.tag < tag or (other.tag == tag and other.id < id))) then
        ahead = ahead + other.weight
    end
end
local owed = math.max(0, weight - burst) / rate
local wait = at - now + math.max(0, ahead + want - tokens) / rate
if wait + owed > longest then
    redis.call('HDEL', KEYS[2], ticket)
    redis.call('HINCRBY', KEYS[4], 'refused ' .. ARGV[11] .. ' ' .. rank, 1)
    return {-1, string.format('%.6f', wait + owed), ''}
end
if wait < 0.000001 then
    tokens = tokens - weight
    redis.call('HDEL', KEYS[2], ticket)
    redis.call('HSET', KEYS[3], flow, string.format('%.6f', tag + weight), served, string.format('%.6f', tag))
    keep()
    return {1, string.format('%.6f', owed), ''}
end
if ARGV[9] ~= ticket then
    redis.call('HSET', KEYS[3], flow, string.format('%.6f', tag + weight))
    redis.call('HINCRBY', KEYS[4], 'waits ' .. ARGV[11] .. ' ' .. rank, 1)
end
local lease = now + math.min(wait, tonumber(ARGV[10])) + 3
redis.call('HSET', KEYS[2], ticket, string.format('%d %.6f %.6f %.6f', rank, tag, weight, lease))
keep()
return {0, string.format('%.6f', wait), ticket}
"""
