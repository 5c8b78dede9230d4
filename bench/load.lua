-- wrk: POST the bodies of a file in turn, one a line. BODIES=file NO_STORE=1 wrk -s load.lua URL
-- TOKEN=t shows a link's token; CLOSE=1 ends the connection with each answer.
-- UNIQUE=n: eight @ in a body are a number that counts on from n, so that no body comes twice.
local bodies, at = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local headers = { ["Content-Type"] = "application/json" }
if os.getenv("NO_STORE") then headers["Cache-Control"] = "no-store" end
if os.getenv("TOKEN") then headers["Authorization"] = "Bearer " .. os.getenv("TOKEN") end
if os.getenv("CLOSE") then headers["Connection"] = "close" end
local unique = tonumber(os.getenv("UNIQUE"))
local requests, rests = {}, {}

function init()
  for i, body in ipairs(bodies) do
    requests[i] = wrk.format("POST", nil, headers, body)
    if unique then requests[i], rests[i] = requests[i]:match("^(.-)@@@@@@@@(.*)$") end
  end
end

function request()
  at = at % #requests + 1
  if not unique then return requests[at] end
  unique = unique + 1
  return requests[at] .. string.format("%08d", unique) .. rests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
