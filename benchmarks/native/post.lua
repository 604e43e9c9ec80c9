-- wrk posts events as Syniverse's event service does: each its own, some 700 bytes.
local number = 0
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("tid", tostring(threads) .. "t" .. tostring(os.time()))
end
local body = '{"topic":"SCG-Message","attempt":1,"event":{"fld-val-list":{"message_id":"M%s","from_address":"+14085550100",' ..
  '"to_address":"18322222222","message_body":"a picture of my cat, and some more words so that it is as long as real ones ' ..
  'are, which is some seven hundred bytes in all they say","has_attachment":"true","attachment_ids":"A%s",' ..
  '"fragments_count":1,"mo_price":0.015,"sender_id_id":"Bx6JS6ClsPmJTxcuLb5Pj4","sender_id_alias":"18322222222",' ..
  '"application_id":"17226","company-id":"13161","anti_virus_scan_status":"OK"},"evt-tp":"mo_message_received",' ..
  '"timestamp":"2026-11-23T16:16:17.579Z"},"event-id":"E%s"}'
local headers = {["Content-Type"] = "application/json"}
function request()
  number = number + 1
  local key = tid .. "x" .. number
  return wrk.format("POST", "/events", headers, string.format(body, key, key, key))
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(99.0), latency.max,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
