-- The near end of the link bench. First calls as fast as they go, with at most WINDOW of them
-- unacknowledged, which is a third of the link's queue; then one ping at a time.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanos; } bench_time;
  int clock_gettime(int clock, bench_time* time);
]]
local CLOCK_MONOTONIC = 1
local WINDOW = 200000
local WARM_UP_MS, MEASURE_MS = 1000, 3000
local TEXT = string.rep("x", 80)

local now = ffi.new("bench_time")
local function micros()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, now)
  return tonumber(now.seconds) * 1e6 + tonumber(now.nanos) / 1e3
end

local function say(...)
  print(table.concat({ "bench", ... }, " "))
  io.stdout:flush()
end

function onServerConnection(server)
  local sent = 0
  local begun, first, first_count = mona:time(), nil, 0
  local enough = false

  local function fill(acknowledged)
    while sent - acknowledged < WINDOW do
      sent = sent + 1
      server:send("take", sent, TEXT, true)
    end
  end

  function server:acknowledge(count)
    local time = mona:time()
    if not first and time - begun >= WARM_UP_MS then
      first, first_count = time, count
      say("begin")
    end
    if first and not enough and time - first >= MEASURE_MS then
      enough = true
      say("throughput", (count - first_count) * 1000 / (time - first), count - first_count)
      self:send("total")
    end
    if not enough then fill(count) end
  end

  -- Round trips, one at a time.
  local pinged, started = 0, 0
  local times = {}

  local function ping()
    pinged = pinged + 1
    started = micros()
    server:send("ping", pinged, TEXT, true)
  end

  function server:counted(count, disorder)
    say("counted", sent, count, disorder)
    begun = micros()
    ping()
  end

  function server:pong(number)
    local time = micros()
    if number ~= pinged then say("lost", number, pinged) end
    if time - begun >= WARM_UP_MS * 1e3 then times[#times + 1] = time - started end
    if time - begun < (WARM_UP_MS + MEASURE_MS) * 1e3 then return ping() end
    table.sort(times)
    local at = function(part) return times[math.floor(#times * part) + 1] end
    say("round", #times, at(0.5), at(0.99), times[#times])
  end

  fill(0)
end
