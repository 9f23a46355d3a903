-- The far end of the link bench: counts, acknowledges now and then, answers pings.

local ACKNOWLEDGE_EVERY = 20000

function onServerConnection(server)
  local count, disorder = 0, 0

  function server:take(number, text, flag)
    count = count + 1
    if number ~= count or flag ~= true or #text ~= 80 then disorder = disorder + 1 end
    if count % ACKNOWLEDGE_EVERY == 0 then self:send("acknowledge", count) end
  end

  function server:total()
    self:send("counted", count, disorder)
  end

  function server:ping(number, text, flag)
    self:send("pong", number, text, flag)
  end
end
