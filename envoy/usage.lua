-- Reads token usage from a response as it streams by, and writes it to dynamic metadata for the access log.
--
-- An envoy.filters.http.lua source, for the response path only. It stands between the policy filter and the router.
--
-- Reads namespace `sluicegate`, set with the verdict:
--   meter       openai_chat, openai_completions, openai_responses, openai_embeddings or anthropic_messages; else idle
--   hide_usage  the gateway, not the client, asked for the usage chunk of a stream: take it out again, and the
--               `"usage":null` members of the other chunks, so that the client gets what it would have got
-- Writes namespace `sluicegate.usage`:
--   input, output, total, cached_input, cache_write, reasoning   as reported, in the provider's own meaning; -1 where what
--               is reported is no count: then none of them is to be taken, for what is not known is not free
--   cache_write_1h, audio_input, audio_output   parts of cache_write, input and output; only if they are not 0
--   tool_calls   searches that the provider ran itself and bills for each; only if it is not 0
--   tier      the service tier, as the answer says it
--   model     the model that answered
--   chunks    events with generated content, so far: a floor of the output tokens when a stream breaks off
--   complete  the answer is whole: its terminator was seen, or its JSON ended
--   encoded   a content-encoding hides the body
--
-- Everything read is hostile. Usage is found by a JSON scanner that knows at which path it is, never by the look of the
-- text. It takes bytes in any pieces and keeps a bounded number of them. What cannot be read gives no usage and no error.
-- State lives in tables made for each response: one Lua runtime serves all streams of an Envoy thread.

local byte, find, gsub, lower, sub = string.byte, string.find, string.gsub, string.lower, string.sub
local char, concat, floor, min = string.char, table.concat, math.floor, math.min

local HOLD_LIMIT = 65536 -- bytes of one data line that may wait for its end
local DEPTH_LIMIT = 128
local TEXT_LIMIT = 256 -- bytes of a key or a value that is kept
local TIER_LIMIT = 32 -- characters of the name of a service tier
local NUMBER_LIMIT = 400
local LARGEST = 1e9 -- no call takes or makes so many tokens: whoever says so is not believed
local UNREADABLE = -1

-- Where to look ---------------------------------------------------------------------------------------------------
-- A tree of the paths that matter. `members` leads into an object, `items` into an array; `number` names the field
-- that a number is for, `text` what a string is; `usage` and `choices` mark the members that make a usage chunk.

local function number(field) return { number = field } end
local function object(members) return { members = members } end
local CONTENT, MODEL, TYPE, TIER = { text = "content" }, { text = "model" }, { text = "type" }, { text = "tier" }
-- Anthropic's name for what it bills beside tokens; others that speak OpenAI's dialect report it in the same words.
local SERVER_TOOLS = object({ web_search_requests = number("tool_calls") })

local OPENAI_USAGE = {
  usage = true,
  members = {
    prompt_tokens = number("input"),
    completion_tokens = number("output"),
    total_tokens = number("total"),
    prompt_tokens_details = object({
      cached_tokens = number("cached_input"),
      cache_write_tokens = number("cache_write"),
      audio_tokens = number("audio_input"),
    }),
    completion_tokens_details = object({
      reasoning_tokens = number("reasoning"),
      audio_tokens = number("audio_output"),
    }),
    server_tool_use = SERVER_TOOLS,
  },
}
local RESPONSES_USAGE = object({
  input_tokens = number("input"),
  output_tokens = number("output"),
  total_tokens = number("total"),
  input_tokens_details = object({
    cached_tokens = number("cached_input"),
    cache_write_tokens = number("cache_write"),
    audio_tokens = number("audio_input"),
  }),
  output_tokens_details = object({ reasoning_tokens = number("reasoning"), audio_tokens = number("audio_output") }),
})
local ANTHROPIC_USAGE = object({
  input_tokens = number("input"),
  output_tokens = number("output"),
  cache_read_input_tokens = number("cached_input"),
  cache_creation_input_tokens = number("cache_write"),
  cache_creation = object({ ephemeral_1h_input_tokens = number("cache_write_1h") }),
  output_tokens_details = object({ thinking_tokens = number("reasoning") }),
  server_tool_use = SERVER_TOOLS,
  service_tier = TIER,
})
local CALLED = object({ arguments = CONTENT })
local CHAT_DELTA = object({
  content = { text = "content", items = object({ text = CONTENT }) },
  reasoning = CONTENT,
  reasoning_content = CONTENT,
  refusal = CONTENT,
  function_call = CALLED,
  tool_calls = { items = object({ ["function"] = CALLED }) },
})
local CHOICES = { choices = true, items = object({ delta = CHAT_DELTA, text = CONTENT }) }

local OPENAI_WHOLE = object({ model = MODEL, service_tier = TIER, usage = OPENAI_USAGE })
local OPENAI_STREAM = object({ model = MODEL, service_tier = TIER, usage = OPENAI_USAGE, choices = CHOICES })
local RESPONSE = object({
  model = MODEL,
  service_tier = TIER,
  usage = RESPONSES_USAGE,
  tool_usage = object({ web_search = object({ num_requests = number("tool_calls") }) }),
})
local MESSAGE = object({ model = MODEL, usage = ANTHROPIC_USAGE })

-- `ends`: types of the events that end a stream. `counts`: what the type of an event that holds content looks like.
local METERS = {
  openai_chat = { whole = OPENAI_WHOLE, stream = OPENAI_STREAM, ends = {}, hides = true },
  openai_completions = { whole = OPENAI_WHOLE, stream = OPENAI_STREAM, ends = {}, hides = true },
  openai_embeddings = { whole = OPENAI_WHOLE, stream = OPENAI_STREAM, ends = {} },
  openai_responses = {
    whole = RESPONSE,
    stream = object({ type = TYPE, delta = CONTENT, response = RESPONSE }),
    ends = { ["response.completed"] = true, ["response.incomplete"] = true, ["response.failed"] = true },
    counts = "%.delta$",
  },
  anthropic_messages = {
    whole = MESSAGE,
    stream = object({
      type = TYPE,
      message = MESSAGE,
      usage = ANTHROPIC_USAGE,
      delta = object({ text = CONTENT, partial_json = CONTENT, thinking = CONTENT }),
    }),
    ends = { message_stop = true },
  },
}

-- The JSON scanner ------------------------------------------------------------------------------------------------
-- What it expects next; from IN_STRING on it is inside a token that the last piece did not end.

local VALUE, FIRST_VALUE, KEY, FIRST_KEY, COLON, NEXT, END, BAD = 1, 2, 3, 4, 5, 6, 7, 8
local IN_STRING, IN_KEY, IN_SCALAR = 9, 10, 11

-- Make `doc` ready for a new document. Positions in a document count from 1.
local function begin(doc, root)
  doc.state, doc.depth, doc.base, doc.node = VALUE, 0, 0, root
  doc.found, doc.model, doc.type, doc.tier, doc.content = nil, nil, nil, nil, false
  doc.usages, doc.lists, doc.reports, doc.no_choices = 0, 0, false, false
  doc.null_from, doc.null_to, doc.null_first = nil, nil, false
  doc.part = ""
end

local function new_document(root)
  local doc = { nodes = {}, objects = {} }
  begin(doc, root)
  return doc
end

local function value_ended(doc)
  doc.state = doc.depth == 0 and END or NEXT
end

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function unescape(text)
  if not find(text, "\\", 1, true) then return text end
  return (gsub(text, "\\(.)(%x?%x?%x?%x?)", function(kind, digits)
    if kind ~= "u" then return (ESCAPES[kind] or kind) .. digits end
    local code = #digits == 4 and tonumber(digits, 16) or 63
    return code < 128 and char(code) or "?" -- no name that matters lies outside ASCII
  end))
end

-- The closing quote at or after `i`, or nil. `odd`: the text before ended in an odd number of backslashes; returned
-- again, for the next piece, when the quote is not in this one. Jumps from quote to quote.
local function closing_quote(s, i, odd)
  local from = i
  while true do
    local quote = find(s, '"', from, true)
    local last = (quote or #s + 1) - 1
    local k = last
    while k >= i and byte(s, k) == 92 do k = k - 1 end
    local escapes = last - k
    if k < i and odd then escapes = escapes + 1 end
    if not quote then return nil, escapes % 2 == 1 end
    if escapes % 2 == 0 then return quote end
    from = quote + 1
  end
end

local function keep(doc, s, i, j)
  if doc.part and #doc.part + j - i < TEXT_LIMIT then
    doc.part = doc.part .. sub(s, i, j)
  else
    doc.part = nil
  end
end

local function key_ended(doc)
  local node = doc.part and doc.nodes[doc.depth].members[unescape(doc.part)]
  doc.node = node
  if node and node.usage then doc.usages = doc.usages + 1 end
  if node and node.choices then doc.lists = doc.lists + 1 end
end

-- A value stands where a number for this field is wanted. One that is no count says so; null says nothing.
local function counted(doc, field, value)
  doc.found = doc.found or {}
  doc.found[field] = value and value >= 0 and value <= LARGEST and value == floor(value) and value or UNREADABLE
end

local function string_ended(doc)
  local node = doc.node
  if node and node.number then counted(doc, node.number) end
  local text = node and node.text
  if text == "content" then
    doc.content = doc.content or doc.filled
  elseif text and doc.part then
    doc[text] = unescape(doc.part)
  end
end

local function in_string(doc, s, i)
  local quote, odd = closing_quote(s, i, doc.odd)
  local last = (quote or #s + 1) - 1
  if last >= i then
    doc.filled = true
    if doc.keeps then keep(doc, s, i, last) end
  end
  if not quote then
    doc.odd = odd
  elseif doc.state == IN_KEY then
    if doc.keeps then key_ended(doc) else doc.node = nil end
    doc.state = COLON
  else
    string_ended(doc)
    value_ended(doc)
  end
  return quote and quote + 1 or #s + 1
end

local function open_string(doc, s, i)
  local state = doc.state
  doc.part, doc.odd, doc.filled = "", false, false
  if state == VALUE or state == FIRST_VALUE then
    doc.state, doc.keeps = IN_STRING, doc.node and doc.node.text and doc.node.text ~= "content"
  elseif state == KEY or state == FIRST_KEY then
    doc.state, doc.keeps = IN_KEY, doc.nodes[doc.depth]
    if doc.depth == 1 then
      if doc.null_first and doc.null_to then doc.null_to, doc.null_first = doc.base + i - 1, false end
      doc.key_at, doc.key_first = doc.base + i, state == FIRST_KEY
    end
  else
    doc.state = BAD
    return i + 1
  end
  return in_string(doc, s, i + 1)
end

-- A number, true, false or null is complete; it ended at position `last` of the document.
local function scalar_ended(doc, token, last)
  local node = doc.node
  value_ended(doc)
  if token == "null" then
    if node and node.usage then
      doc.null_from, doc.null_to, doc.null_first = doc.key_first and doc.key_at or doc.comma_at, last, doc.key_first
    end
    return
  end
  local value
  if token ~= "true" and token ~= "false" then
    value = find(token, "^%-?%d[%d.eE+-]*$") and not find(token, "^%-?0%d") and tonumber(token)
    if not value then
      doc.state = BAD
      return
    end
  end
  if node and node.number then counted(doc, node.number, value) end
end

local function in_scalar(doc, s, i)
  local _, last = find(s, "^[%w+.-]+", i)
  last = last or i - 1
  local token = doc.part .. sub(s, i, last)
  if token == "" or #token > NUMBER_LIMIT then
    doc.state = BAD
  elseif last == #s then
    doc.state, doc.part = IN_SCALAR, token
  else
    doc.part = ""
    scalar_ended(doc, token, doc.base + last)
  end
  return last + 1
end

local function open_container(doc, is_object)
  local node, depth = doc.node, doc.depth + 1
  if depth > DEPTH_LIMIT then
    doc.state = BAD
    return
  end
  if node and node.number then counted(doc, node.number) end
  doc.depth, doc.objects[depth] = depth, is_object
  if is_object then
    doc.nodes[depth] = node and node.members and node or false
    if node and node.usage then doc.reports = true end
    doc.state = FIRST_KEY
  else
    doc.nodes[depth] = node and node.items and node or false
    doc.node = node and node.items
    doc.state = FIRST_VALUE
  end
end

local function close_container(doc, is_object)
  local state, depth = doc.state, doc.depth
  if depth == 0 or doc.objects[depth] ~= is_object or (state ~= NEXT and state ~= (is_object and FIRST_KEY or FIRST_VALUE)) then
    doc.state = BAD
    return
  end
  local node = doc.nodes[depth]
  if state == FIRST_VALUE and node and node.choices then doc.no_choices = true end
  doc.depth = depth - 1
  value_ended(doc)
end

local function comma(doc, i)
  local depth = doc.depth
  if doc.objects[depth] then
    if depth == 1 then doc.comma_at = doc.base + i end
    doc.state = KEY
  else
    local node = doc.nodes[depth]
    doc.node = node and node.items
    doc.state = VALUE
  end
end

-- A number, true, false or null begins at `i`. Rows of numbers that nobody wants (embeddings) are jumped, unchecked.
local function scalar(doc, s, i, c)
  if not (c >= 48 and c <= 57 or c == 45 or c == 116 or c == 102 or c == 110) then -- 0 to 9 - t f n
    doc.state = BAD
    return i
  end
  if not doc.node and doc.depth > 0 and not doc.objects[doc.depth] then
    local _, last = find(s, "^[-%d][%d.,eE+ \r\n\t-]*,", i)
    if last then
      doc.state = VALUE
      return last + 1
    end
  end
  doc.part = ""
  return in_scalar(doc, s, i)
end

local function punctuation(doc, c, i)
  local state = doc.state
  if c == 123 or c == 91 then -- { [
    if state == VALUE or state == FIRST_VALUE then open_container(doc, c == 123) else doc.state = BAD end
  elseif c == 125 or c == 93 then -- } ]
    close_container(doc, c == 125)
  elseif c == 44 and state == NEXT then
    comma(doc, i)
  elseif c == 58 and state == COLON then
    doc.state = VALUE
  else
    return false
  end
  return true
end

-- Scan the next piece of a document. It is whole and well formed when its state is END.
local function scan(doc, s)
  local i, n = 1, #s
  while i <= n do
    local state = doc.state
    if state == BAD then return end
    if state == IN_SCALAR then
      i = in_scalar(doc, s, i)
    elseif state >= IN_STRING then
      i = in_string(doc, s, i)
    else
      local c = byte(s, i)
      if c == 34 then
        i = open_string(doc, s, i)
      elseif c == 32 or c == 10 or c == 13 or c == 9 or punctuation(doc, c, i) then
        i = i + 1
      elseif state == VALUE or state == FIRST_VALUE then
        i = scalar(doc, s, i, c)
      else
        doc.state = BAD
      end
    end
  end
  doc.base = doc.base + n
end

-- What was learned ------------------------------------------------------------------------------------------------
-- `news` are the entries that metadata does not have yet; `told` is what a reader of it knows, who takes some of them
-- for 0 where they are absent.

local function new_meter()
  return { told = { cache_write_1h = 0, audio_input = 0, audio_output = 0, tool_calls = 0 }, news = {}, has_news = false }
end

local function tell(meter, key, value)
  if value ~= nil and meter.told[key] ~= value then
    meter.told[key], meter.news[key], meter.has_news = value, value, true
  end
end

local function learn(meter, doc)
  if doc.found then
    for field, value in pairs(doc.found) do tell(meter, field, value) end
  end
  if doc.model ~= "" then tell(meter, "model", doc.model) end
  local tier = doc.tier
  if tier and tier ~= meter.told.tier and #tier <= TIER_LIMIT and find(tier, "^[a-z0-9_-]+$") then
    tell(meter, "tier", tier)
  end
end

local function publish(meter, handle)
  if not meter.has_news then return end
  local metadata = handle:streamInfo():dynamicMetadata() -- good only until the script waits again
  for key, value in pairs(meter.news) do metadata:set("sluicegate.usage", key, value) end
  meter.news, meter.has_news = {}, false
end

-- Server-sent events (WHATWG HTML, 9.2.6) -------------------------------------------------------------------------
-- Lines end with LF, CR or CRLF; events end with an empty line. Bytes that may have to go are held back: those of one
-- data line, until its end or the limit, and a removed usage chunk, until it is sure that it was an event of its own.
-- When the last piece is not empty (HTTP/2 upstreams, trailers) nothing can be sent after it: JSON that breaks off within
-- its line, which no client would see as an event, is then lost.

local DATA, OTHER = 1, 2
local BOM = "\239\187\191"

local function begin_line(stream)
  stream.kind, stream.start, stream.probe = nil, "", ""
  stream.held, stream.size, stream.released = {}, 0, false
end

local function new_stream(meter, kind, hides)
  local stream = { meter = meter, kind_of = kind, hides = hides, doc = new_document(kind.stream) }
  stream.lines, stream.passed, stream.first = 0, 0, true -- data lines, and lines let through, of this event
  begin_line(stream)
  return stream
end

-- Output of one piece: `parts`, then what follows `from`.
local function put(out, s, i, text)
  if i > out.from then out.parts[#out.parts + 1] = sub(s, out.from, i - 1) end
  if text ~= "" then out.parts[#out.parts + 1] = text end
  out.from, out.changed = i, true
end

local function drop(out, s, i, j)
  put(out, s, i, "")
  out.from = j + 1
end

local function release_pending(stream, out, s, i)
  if stream.pending then
    put(out, s, i, stream.pending)
    stream.pending, stream.passed = nil, stream.passed + 1
  end
end

-- Decide what kind of line begins with `head`, and where its payload begins; nil while it cannot be known.
local function classify(stream, head)
  local lead = 0
  if stream.first then
    if sub(head, 1, 3) == BOM then lead = 3
    elseif sub(BOM, 1, #head) == head then return nil end
  end
  local word = sub(head, lead + 1, lead + 5)
  if word == "data:" then return DATA, lead + 6 end
  if #word < 5 and sub("data:", 1, #word) == word then return nil end
  return OTHER
end

-- Read s[i..j], the next piece of a line, without its end.
local function read_line(stream, s, i, j)
  if stream.kind == OTHER or j < i then return end
  if not stream.kind then
    local known = #stream.start
    local head = stream.start .. sub(s, i, min(j, i + 7))
    local kind, at = classify(stream, head)
    if not kind then stream.start = head end
    stream.kind, stream.payload_at = kind, at
    if kind ~= DATA then return end
    i = i + at - 1 - known
    if stream.lines == 0 then begin(stream.doc, stream.kind_of.stream) else scan(stream.doc, "\n") end
  end
  local payload = sub(s, i, j)
  if stream.probe then stream.probe = #stream.probe + #payload <= 16 and stream.probe .. payload or nil end
  scan(stream.doc, payload)
end

local function is_usage_chunk(doc)
  return doc.state == END and doc.usages == 1 and doc.reports and doc.lists == 1 and doc.no_choices
end

-- The first data line of an event, so far, without its top-level `"usage":null`, if that is all it says of usage.
local function without_null(stream, text)
  local doc = stream.doc
  if doc.state ~= END or doc.usages ~= 1 or not doc.null_from then return text end
  local skip = stream.payload_at - 1
  return sub(text, 1, skip + doc.null_from - 1) .. sub(text, skip + doc.null_to + 1)
end

-- A line ended: its last piece is s[i..e-1], its end s[e..stop]. Let it go, changed or not, or put it aside.
local function settle_line(stream, out, s, i, e, stop)
  release_pending(stream, out, s, i)
  local sole = stream.kind == DATA and stream.lines == 1 and not stream.released
  if sole and stream.payload_at == 6 and is_usage_chunk(stream.doc) then
    stream.pending = concat(stream.held) .. sub(s, i, stop)
    drop(out, s, i, stop)
    stream.hid = true
    return
  end
  stream.passed = stream.passed + 1
  if sole and stream.doc.null_from then
    put(out, s, i, without_null(stream, concat(stream.held) .. sub(s, i, e - 1)))
    out.from = e
  elseif #stream.held > 0 then
    put(out, s, i, concat(stream.held))
  end
end

-- The piece ended in the middle of a line, at s[i..]. Hold it back if the line may yet have to change.
local function hold(stream, out, s, i)
  release_pending(stream, out, s, i)
  if stream.released then return end
  local doc, text = stream.doc, nil
  stream.held[#stream.held + 1] = sub(s, i)
  stream.size = stream.size + #s - i + 1
  if stream.kind == OTHER or stream.size > HOLD_LIMIT or (stream.kind and (stream.lines > 0 or doc.state == BAD)) then
    text = concat(stream.held)
  elseif stream.kind and doc.state == END and not is_usage_chunk(doc) then
    text = without_null(stream, concat(stream.held))
  end
  put(out, s, i, text or "")
  out.from = #s + 1
  if text then stream.held, stream.released = {}, true end
end

-- The event is complete: learn from it.
local function dispatch(stream)
  local doc, meter, kind = stream.doc, stream.meter, stream.kind_of
  if stream.done then
    tell(meter, "complete", true)
  elseif stream.lines > 0 and doc.state == END then
    learn(meter, doc)
    if doc.content and (not kind.counts or find(doc.type or "", kind.counts)) then
      tell(meter, "chunks", (meter.told.chunks or 0) + 1)
    end
    if doc.type and kind.ends[doc.type] then tell(meter, "complete", true) end
  end
  stream.lines, stream.done = 0, false
end

local function end_line(stream, out, s, i, e, stop)
  stream.hid = false
  if not stream.kind and stream.start == "" then
    dispatch(stream)
    if stream.pending and stream.passed == 0 then
      drop(out, s, i, stop)
      stream.hid = true
    end
    stream.pending, stream.passed = nil, 0
  else
    if stream.kind == DATA then
      stream.lines = stream.lines + 1
      stream.done = stream.lines == 1 and stream.probe ~= nil and find(stream.probe, "^%s*%[DONE%]%s*$") ~= nil
    end
    if out then settle_line(stream, out, s, i, e, stop) end
  end
  begin_line(stream)
  stream.first = false
end

-- A line that ended with CR at the end of the last piece may go on with LF. The LF shares the fate of its CR.
local function skip_line_feed(stream, out, s)
  if not stream.after_cr then return 1 end
  stream.after_cr = false
  if byte(s, 1) ~= 10 then return 1 end
  if stream.hid then
    if stream.pending then stream.pending = stream.pending .. "\n" end
    drop(out, s, 1, 1)
  end
  return 2
end

-- Take the next piece of a stream. Returns what to send in its place, or nil to send it as it is.
local function take(stream, s)
  local out = stream.hides and { parts = {}, from = 1 } or nil
  local i, n = skip_line_feed(stream, out, s), #s
  local cr, lf = find(s, "\r", i, true), find(s, "\n", i, true)
  while cr or lf do
    local e = cr and (not lf or cr < lf) and cr or lf
    local stop = e == cr and lf == e + 1 and lf or e
    stream.after_cr = e == cr and e == n
    read_line(stream, s, i, e - 1)
    end_line(stream, out, s, i, e, stop)
    i = stop + 1
    if cr and cr < i then cr = find(s, "\r", i, true) end
    if lf and lf < i then lf = find(s, "\n", i, true) end
  end
  if i <= n then
    read_line(stream, s, i, n)
    if out then hold(stream, out, s, i) end
  end
  if not (out and out.changed) then return nil end
  put(out, s, n + 1, "")
  return concat(out.parts)
end

-- Envoy's side ----------------------------------------------------------------------------------------------------

-- The stream is over, though perhaps not with an empty line: what is whole still counts.
local function finish(stream)
  if stream.kind == DATA then end_line(stream, nil, "", 1, 1, 0) end
  dispatch(stream)
end

local function follow_stream(handle, meter, kind, hides)
  local stream = new_stream(meter, kind, hides)
  for chunk in handle:bodyChunks() do
    local size = chunk:length()
    if size > 0 then
      local piece = chunk:getBytes(0, size)
      local held, pending = stream.held, stream.pending or ""
      local before = #held
      local fine, text = pcall(take, stream, piece)
      if not fine then -- a fault of ours must not cost the client a byte
        handle:logErr("usage: " .. tostring(text))
        chunk:setBytes(pending .. concat(held, "", 1, before) .. piece)
        return
      end
      if text then chunk:setBytes(text) end
      publish(meter, handle)
    elseif #stream.held > 0 then -- the end, or as good as: nothing may stay behind
      chunk:setBytes(concat(stream.held))
      stream.held, stream.released = {}, true
    end
  end
  finish(stream)
end

local function follow_json(handle, meter, kind)
  local doc = new_document(kind.whole)
  for chunk in handle:bodyChunks() do
    local size = chunk:length()
    if size > 0 then
      local fine, problem = pcall(scan, doc, chunk:getBytes(0, size))
      if not fine then handle:logErr("usage: " .. tostring(problem)) end
      if not fine or doc.state == BAD then return end
    end
  end
  if doc.state == END then
    learn(meter, doc)
    tell(meter, "complete", true)
  end
end

function envoy_on_response(handle)
  local wanted = handle:streamInfo():dynamicMetadata():get("sluicegate")
  local kind = wanted and METERS[wanted.meter or ""]
  if not kind then return end
  local meter = new_meter()
  local headers = handle:headers()
  local encoding = lower(headers:get("content-encoding") or "identity")
  if encoding ~= "identity" and encoding ~= "" then
    tell(meter, "encoded", true)
  elseif find(lower(headers:get("content-type") or ""), "^%s*text/event%-stream") then
    local hides = wanted.hide_usage == true and kind.hides
    if hides then headers:remove("content-length") end
    follow_stream(handle, meter, kind, hides)
  else
    follow_json(handle, meter, kind)
  end
  publish(meter, handle)
end
