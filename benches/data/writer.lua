-- Assigns to `data` for some seconds, a new text to one of many keys each time, and says how long
-- one assignment kept the script.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanos; } bench_time;
  int clock_gettime(int clock, bench_time* time);
]]
local CLOCK_MONOTONIC = 1
local WARM_UP, KEYS = 2000, 1000

local now = ffi.new("bench_time")
local function micros()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, now)
  return tonumber(now.seconds) * 1e6 + tonumber(now.nanos) / 1e3
end

local function say(...)
  print(table.concat({ "bench", ... }, " "))
  io.stdout:flush()
end

local function measure(bytes, seconds)
  local text = ("x"):rep(bytes - 8)
  local times, count = {}, 0
  local begun, at = nil, micros()
  repeat
    local number = count + 1
    data.bench["key" .. number % KEYS] = ("%08d"):format(number) .. text
    local time = micros()
    if number > WARM_UP then
      begun = begun or at
      times[number - WARM_UP] = time - at
    end
    count, at = number, micros()
  until begun and at - begun >= seconds * 1e6
  table.sort(times)
  local function part(of) return times[math.min(#times, math.floor(#times * of) + 1)] end
  say("assigned", bytes, #times * 1e6 / (at - begun), part(0.5), part(0.99), part(0.9999), part(1))
end

local done = false
function onManage()
  if done then return end
  done = true
  data.bench = {}
  for _, bytes in ipairs { 16, 1000 } do measure(bytes, tonumber(mona.configs.bench.seconds)) end
end
