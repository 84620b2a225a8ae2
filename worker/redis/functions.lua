-- The function library `fanfare`: what has to happen in Redis in one piece when a publication goes into the
-- history of a channel, or is read from there. The worker puts POLICY before it and loads it (redis_loader.c),
-- as a library of functions, or as a script for EVALSHA whose first argument is the name of the function.
--
-- Each function has one key, the Redis channel, e.g. fanfare:news. What it keeps stands beside it:
--   {fanfare:news}.meta           hash: epoch, offset (of the newest publication), version, version_epoch
--   {fanfare:news}.stream         stream: entries <offset>-0 with one field m, the envelope as it was published
--   {fanfare:news}.idem.<sha1>    string: the result of the publication that had this idempotency key
--   {fanfare:news}.presence       hash: worker to the time at which it last said who is there, or, below 0, was found dead
--   {fanfare:news}.presence.of.W  hash: the members of worker W, client to user and info
--   {fanfare:news}.presence.users hash: user to the number of its clients
--   {fanfare:news}.presence.left  hash: user to the leaves that wait for the user to come back, oldest first
--   {fanfare:news}.presence.due   sorted set: those users by the time of the first of these leaves
--
-- Workers have their leases in one place for all: {fanfare:}workers, a hash to the time at which each ends.
--
-- Nothing is written before everything that can be refused was checked, and a write that Redis may refuse for
-- want of memory comes first: a call succeeds, or it has done nothing.

local VERSION = 7

local EXACT_MAX = 9007199254740991 -- 2^53 - 1: numbers of Lua are exact up to here
local SECONDS_MAX = 1000000000
local TAGS_MAX = 64
local DEPTH_MAX = 64
-- Of one publication, and of all that are read at once: workers take no more than a few times as much in one piece.
local BYTES_MAX = 16 * 1024 * 1024
local STEP_MAX = 64 -- entries that are read before it is seen how large they are
local DEFAULT_META_TTL = 30 * 24 * 3600
local DEFAULT_IDEMPOTENCY_TTL = 300

-- Ends the call with an error that the caller gets.
local function refuse(text, ...)
	error({refusal = 'ERR ' .. string.format(text, ...)}, 0)
end

local function exact(number)
	return string.format('%.0f', number)
end

-- --- UTF-8 and JSON ---

-- A sequence begins with a byte that can only begin one, so they can be taken out kind by kind.
local UTF8_SEQUENCES = {
	'[\194-\223][\128-\191]',
	'\224[\160-\191][\128-\191]', '[\225-\236\238\239][\128-\191][\128-\191]', '\237[\128-\159][\128-\191]',
	'\240[\144-\191][\128-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191][\128-\191]',
	'\244[\128-\143][\128-\191][\128-\191]',
}

local function is_utf8(text)
	if not text:find('[\128-\255]') then
		return true
	end
	for _, sequence in ipairs(UTF8_SEQUENCES) do
		text = text:gsub(sequence, ' ')
	end
	return not text:find('[\128-\255]')
end

-- The skip functions return the place behind what begins at the place, nil if it is not JSON (RFC 8259). Not
-- cjson: it takes more for JSON than the worker does, and numbers would not come out of it as they went in.

local SPACE = '[ \t\r\n]*'
local BEGIN, END = '^' .. SPACE .. '()', '^' .. SPACE .. '$'
local COLON, COMMA = '^' .. SPACE .. ':' .. SPACE .. '()', '^' .. SPACE .. ',' .. SPACE .. '()'
local OPEN_OBJECT, CLOSE_OBJECT = '^' .. SPACE .. '{()', '^' .. SPACE .. '}()'
local CLOSE_ARRAY = '^' .. SPACE .. '%]()'

local function skip_string(text, at)
	local behind = text:match('^"[^"\\%z\1-\31]*"()', at)
	if behind or text:sub(at, at) ~= '"' then
		return behind
	end
	at = at + 1
	while true do
		at = text:match('^[^"\\%z\1-\31]*()', at)
		if text:sub(at, at) == '"' then
			return at + 1
		end
		at = text:match('^\\["\\/bfnrt]()', at) or text:match('^\\u%x%x%x%x()', at)
		if not at then
			return nil
		end
	end
end

local function skip_number(text, at)
	at = text:match('^%-?[1-9]%d*()', at) or text:match('^%-?0()', at)
	at = at and (text:match('^%.%d+()', at) or at)
	return at and (text:match('^[eE][+-]?%d+()', at) or at)
end

local skip_value

-- From behind the opening bracket to behind the closing one. Calls visit(key, value) for each member of an object, with
-- their texts.
local function skip_items(text, at, depth, close, visit)
	local behind = text:match(close, at)
	if behind then
		return behind
	end
	at = text:match(BEGIN, at)
	while true do
		local key
		if close == CLOSE_OBJECT then
			behind = skip_string(text, at)
			key = behind and visit and text:sub(at, behind - 1)
			at = behind and text:match(COLON, behind)
		end
		behind = at and skip_value(text, at, depth + 1)
		if not behind then
			return nil
		end
		if visit then
			visit(key, text:sub(at, behind - 1))
		end
		at = text:match(COMMA, behind)
		if not at then
			return text:match(close, behind)
		end
	end
end

skip_value = function(text, at, depth)
	local first = text:sub(at, at)
	if first == '"' then
		return skip_string(text, at)
	elseif depth > DEPTH_MAX then
		return nil
	elseif first == '{' then
		return skip_items(text, at + 1, depth, CLOSE_OBJECT)
	elseif first == '[' then
		return skip_items(text, at + 1, depth, CLOSE_ARRAY)
	end
	return skip_number(text, at) or text:match('^true()', at) or text:match('^false()', at) or text:match('^null()', at)
end

-- Visits the members of a text that is a JSON object, and nothing else; false if it is not.
local function each_member(text, visit)
	local at = text:match(OPEN_OBJECT)
	at = at and is_utf8(text) and skip_items(text, at, 1, CLOSE_OBJECT, visit)
	return at and text:match(END, at) ~= nil
end

-- --- options ---

local function whole_number(name, value, min, max)
	local number = #value <= 16 and value:find('^%d+$') and tonumber(value)
	if not number or number < min or number > max then
		refuse('%s must be a whole number from %s to %s', name, exact(min), exact(max))
	end
	return number
end

local function number_from(min, max)
	return function(name, value)
		return whole_number(name, value, min, max)
	end
end

local function flag(name, value)
	if value == 'true' or value == '1' then
		return true
	elseif value == 'false' or value == '0' then
		return false
	end
	refuse('%s must be true or false', name)
end

local function text(_, value)
	return value
end

-- Names of tags that differ only in how they are written are one name. What cjson cannot read has an escape that
-- stands for half a character.
local function tag_name(key)
	local good, decoded = pcall(cjson.decode, '[' .. key .. ']')
	if not good then
		refuse('tags: the name %s is malformed', key)
	end
	return decoded[1]
end

local function tags(name, value)
	local seen, count, wrong = {}, 0, nil
	local good = each_member(value, function(key, member)
		local tag = tag_name(key)
		wrong = wrong or (member:sub(1, 1) ~= '"' and 'a tag must be a string') or
			(seen[tag] and 'a tag occurs twice')
		seen[tag] = true
		count = count + 1
	end)
	if not good then
		refuse('%s must be a JSON object', name)
	elseif wrong or count > TAGS_MAX then
		refuse('%s: %s', name, wrong or 'more than 64 tags')
	end
	return count > 0 and value or nil
end

local INFO_MEMBERS = {['"user"'] = 'string', ['"client"'] = 'string', ['"conn_info"'] = 'any', ['"chan_info"'] = 'any'}

local function info(name, value)
	local seen, wrong = {}, nil
	local good = each_member(value, function(key, member)
		local kind = INFO_MEMBERS[key]
		wrong = wrong or (not kind and 'has user, client, conn_info and chan_info') or
			(kind == 'string' and member:sub(1, 1) ~= '"' and 'user and client must be strings') or
			(seen[key] and 'a member occurs twice')
		seen[key] = true
	end)
	if not good then
		refuse('%s must be a JSON object', name)
	elseif wrong then
		refuse('%s: %s', name, wrong)
	end
	return value
end

local PUBLISH_OPTIONS = {
	history_size = number_from(0, EXACT_MAX),
	history_ttl = number_from(0, SECONDS_MAX),
	history_meta_ttl = number_from(1, SECONDS_MAX),
	skip_history = flag,
	idempotency_key = text,
	idempotency_ttl = number_from(1, SECONDS_MAX),
	version = number_from(0, EXACT_MAX),
	version_epoch = text,
	tags = tags,
	info = info,
	sharded = flag,
	receivers = flag,
}

local HISTORY_OPTIONS = {
	since = number_from(0, EXACT_MAX),
	limit = number_from(0, EXACT_MAX),
	newest = number_from(1, EXACT_MAX),
	before = number_from(1, EXACT_MAX),
	piece = number_from(1, BYTES_MAX),
	reverse = flag,
	meta_ttl = number_from(1, SECONDS_MAX),
	parted = text,
}

local REMOVE_OPTIONS = {sharded = flag}

local function read_options(known, args, first)
	local options = {}
	for i = first, #args, 2 do
		local name = args[i]
		if not known[name] then
			refuse('unknown option %s', name:sub(1, 40))
		elseif args[i + 1] == nil then
			refuse('option %s has no value', name)
		elseif options[name] ~= nil then
			refuse('option %s is given twice', name)
		end
		options[name] = known[name](name, args[i + 1])
	end
	return options
end

-- --- policy ---

-- The options of the namespace, as {size, ttl, meta_ttl}. A channel of a namespace that is not configured does not
-- exist: no client can subscribe to it, so what is published there is lost, and who publishes should know.
local function policy_of(channel)
	local prefix = POLICY.prefix
	if channel:sub(1, #prefix) ~= prefix or #channel == #prefix then
		refuse('no channel: the names of channels begin with %s', prefix)
	end
	local namespace = channel:sub(#prefix + 1):match('^%$?([^:]+):') or ''
	return POLICY.namespaces[namespace] or refuse('unknown channel: namespace %s is not configured', namespace)
end

local function configured(channel)
	local good, policy = pcall(policy_of, channel)
	return good and policy or {0, 0, DEFAULT_META_TTL}
end

-- What is given in the call wins. The position may not be forgotten before the entries are.
local function history_options(channel, options)
	local policy = {options.history_size or 0, options.history_ttl or 0, DEFAULT_META_TTL}
	if not options.skip_history and (not options.history_size or not options.history_ttl) then
		policy = policy_of(channel)
	elseif not options.history_meta_ttl then
		policy = configured(channel)
	end
	local size, ttl = options.history_size or policy[1], options.history_ttl or policy[2]
	local meta_ttl = math.max(options.history_meta_ttl or policy[3], ttl)
	return not options.skip_history and size > 0 and ttl > 0, size, ttl, meta_ttl
end

-- --- keys ---

-- CRC16 of a text, as the slots of Redis Cluster are made: half a byte at a time, by what each adds.
local CRC16 = {
	[0] = 0, 4129, 8258, 12387, 16516, 20645, 24774, 28903, 33032, 37161, 41290, 45419, 49548, 53677, 57806, 61935,
}

local function crc16_step(crc, half)
	return bit.bxor(bit.band(bit.lshift(crc, 4), 65535), CRC16[bit.bxor(bit.rshift(crc, 12), half)])
end

local function crc16(text)
	local crc = 0
	for i = 1, #text do
		local byte = text:byte(i)
		crc = crc16_step(crc16_step(crc, bit.rshift(byte, 4)), bit.band(byte, 15))
	end
	return crc
end

-- Which bits of four letters from @ (0) to O (15), the last letter's last, to turn so that one bit of the slot turns, and
-- no other: that works since what a bit of a text does to its CRC does not depend on the others.
local SLOT_BITS = {6906, 1773, 10107, 4364, 10897, 14784, 8035, 10111, 4356, 8712, 7146, 1229, 9019, 6540}

-- A text in the same slot, without braces: how the channel begins, and four letters.
local function neighbour(channel)
	local head, letters = channel:match('^[^{}]*'), 0
	local wrong = bit.bxor(crc16(channel), crc16(head .. '@@@@'))
	for i, bits in ipairs(SLOT_BITS) do
		if bit.band(bit.rshift(wrong, i - 1), 1) == 1 then
			letters = bit.bxor(letters, bits)
		end
	end
	for shift = 12, 0, -4 do
		head = head .. string.char(64 + bit.band(bit.rshift(letters, shift), 15))
	end
	return head
end

-- A hash tag makes Redis Cluster choose the slot by what is in it, so that all keys of a channel are where the
-- channel is. A name that has one keeps it. One without is put between braces as a whole, which does that unless
-- it has a } in it: {fanfare:a}b}.stream belongs to the slot of fanfare:a. In a Cluster such a name has a neighbour put
-- before it: {fanfare:aMGKB}}fanfare:a}b.stream. Names begin with the prefix, never with a brace, and what is
-- put behind has a fixed length or end, and never begins with a brace, so no two channels share a key.
local function base_of(channel)
	local open = channel:find('{', 1, true)
	local close = open and channel:find('}', open + 1, true)
	if close and close > open + 1 then
		return channel
	elseif POLICY.sharded and channel:find('}', 1, true) then
		return '{' .. neighbour(channel) .. '}}' .. channel
	end
	return '{' .. channel .. '}'
end

local function keys_of(channel)
	local base = base_of(channel)
	return {
		channel = channel, meta = base .. '.meta', stream = base .. '.stream', idempotency = base .. '.idem.',
		presence = base .. '.presence',
	}
end

-- --- state ---

local function read_meta(keys)
	local meta = redis.call('HMGET', keys.meta, 'epoch', 'offset', 'version', 'version_epoch')
	local epoch, offset = meta[1], meta[2] or '0'
	redis.call('XLEN', keys.stream) -- an error if it is something else
	if epoch and not (#epoch <= 32 and epoch:find('^%w+$') and offset:find('^%d+$') and tonumber(offset) <= EXACT_MAX) then
		refuse('%s does not hold a position', keys.meta)
	end
	return {epoch = epoch, offset = epoch and tonumber(offset) or 0, version = meta[3], version_epoch = meta[4] or ''}
end

local function new_epoch(keys)
	local time = redis.call('TIME')
	return redis.sha1hex(time[1] .. '.' .. time[2] .. ' ' .. keys.channel):sub(1, 8)
end

-- What was kept under a position that is forgotten cannot be told apart from what comes now.
local function begin_epoch(keys, meta)
	meta.epoch = new_epoch(keys)
	meta.offset = 0
	redis.call('HSET', keys.meta, 'epoch', meta.epoch, 'offset', '0')
	redis.call('UNLINK', keys.stream)
end

-- Redis has lost writes that a worker has seen, and other publications have got their offsets, or will. A position
-- of that epoch does not tell which of the two its owner had, so it is none any more. What is kept stays.
local function part(keys, meta)
	meta.epoch = new_epoch(keys)
	redis.call('HSET', keys.meta, 'epoch', meta.epoch)
end

-- --- publish ---

local OUTCOMES = {'published', 'cached', 'suppressed'}
local PUBLISHED, CACHED, SUPPRESSED = 1, 2, 3

local function result(options, offset, epoch, outcome, receivers)
	if options.receivers then
		return {offset, epoch, OUTCOMES[outcome], receivers or 0}
	elseif outcome ~= PUBLISHED then
		return {offset, epoch, OUTCOMES[outcome]}
	end
	return {offset, epoch}
end

-- The result that the idempotency key had, as offset and epoch.
local function recall(key)
	local stored = key and redis.call('GET', key)
	if not stored then
		return nil
	end
	local offset, epoch = stored:match('^(%d+):(%w*)$')
	if not offset then
		refuse('%s does not hold a result', key)
	end
	return tonumber(offset), epoch
end

local function remember(key, options, offset, epoch)
	if key then
		redis.call('SET', key, exact(offset) .. ':' .. epoch, 'EX', options.idempotency_ttl or DEFAULT_IDEMPOTENCY_TTL)
	end
end

local function is_suppressed(options, meta)
	local same = not options.version_epoch or options.version_epoch == '' or options.version_epoch == meta.version_epoch
	return meta.version and same and tonumber(meta.version) >= options.version
end

-- data is last, and what it holds cannot end the header: the worker takes all that follows but the last brace.
local function envelope(options, data, position)
	local parts = {'{"fanfare":1', position}
	if options.tags then
		parts[#parts + 1] = ',"tags":' .. options.tags
	end
	if options.info then
		parts[#parts + 1] = ',"info":' .. options.info
	end
	parts[#parts + 1] = ',"data":' .. data .. '}'
	return table.concat(parts)
end

local function plain_message(options, data)
	if options.tags or options.info or data:find('^[ \t\r\n]*{[ \t\r\n]*"fanfare"') then
		return envelope(options, data, '')
	end
	return data
end

-- In a Redis Cluster brokers hear what is published in the slot of the channel, and nothing else.
local function publish_command(options)
	local sharded = options.sharded
	if sharded == nil then
		sharded = POLICY.sharded
	end
	return sharded and 'SPUBLISH' or 'PUBLISH'
end

local function send(options, channel, message)
	return redis.call(publish_command(options), channel, message)
end

-- Redis checks the permissions of a user command by command; this one comes last.
local function check_may_send(options, channel)
	local command = publish_command(options)
	if redis.acl_check_cmd and not redis.acl_check_cmd(command, channel, '') then
		error({refusal = 'NOPERM this user may not ' .. command .. ' to ' .. channel}, 0)
	end
end

-- Returns the message with the next offset, and what Redis has against it.
local function append_next(options, keys, meta, data, size)
	redis.call('HINCRBY', keys.meta, 'offset', 1)
	meta.offset = meta.offset + 1
	if meta.offset == 1 then
		redis.call('UNLINK', keys.stream)
	end
	local position = ',"offset":' .. exact(meta.offset) .. ',"epoch":"' .. meta.epoch .. '"'
	local message = envelope(options, data, position)
	local added = redis.pcall('XADD', keys.stream, 'MAXLEN', '=', exact(size), exact(meta.offset) .. '-0', 'm', message)
	return message, type(added) == 'table' and added.err
end

-- Whether no entry can follow: somebody else has put one there whose id is above all to come, or the last possible one.
local function is_stuck(wrong)
	return wrong and (wrong:find('equal or smaller', 1, true) or wrong:find('exhausted', 1, true))
end

-- He must not be able to end a channel for ever, so it begins anew, which subscribers are told of.
local function append(options, keys, meta, data, size)
	local message, wrong = append_next(options, keys, meta, data, size)
	if is_stuck(wrong) then
		begin_epoch(keys, meta)
		message, wrong = append_next(options, keys, meta, data, size)
	end
	if wrong then
		redis.call('HINCRBY', keys.meta, 'offset', -1)
		error({refusal = wrong}, 0)
	end
	return message
end

local function publish_kept(options, keys, data, idempotency_key, size, ttl, meta_ttl)
	local meta = read_meta(keys)
	if options.version and options.version > 0 and meta.epoch and is_suppressed(options, meta) then
		return result(options, meta.offset, meta.epoch, SUPPRESSED)
	end
	if meta.offset == EXACT_MAX then
		refuse('%s has no more offsets', keys.meta)
	elseif not meta.epoch then
		begin_epoch(keys, meta)
	end
	local message = append(options, keys, meta, data, size)
	if options.version and options.version > 0 then
		redis.call('HSET', keys.meta, 'version', exact(options.version), 'version_epoch', options.version_epoch or '')
	end
	redis.call('EXPIRE', keys.meta, meta_ttl)
	redis.call('EXPIRE', keys.stream, ttl)
	remember(idempotency_key, options, meta.offset, meta.epoch)
	return result(options, meta.offset, meta.epoch, PUBLISHED, send(options, keys.channel, message))
end

local function publish_plain(options, keys, data, idempotency_key)
	remember(idempotency_key, options, 0, '')
	return result(options, 0, '', PUBLISHED, send(options, keys.channel, plain_message(options, data)))
end

-- Whether it is JSON, text or neither is the worker's to find out: Redis would stand still for that, 20 us for each
-- kilobyte. A publication of neither keeps its offset and is not delivered.
local function check_data(data)
	if data == nil then
		refuse('no data')
	elseif data == '' then
		refuse('data is empty')
	end
end

local function publish(channel, args)
	local data = args[1]
	check_data(data)
	local options = read_options(PUBLISH_OPTIONS, args, 2)
	if #data + #(options.tags or '') + #(options.info or '') > BYTES_MAX then
		refuse('a publication has at most %s bytes', exact(BYTES_MAX))
	end
	local keys = keys_of(channel)
	local kept, size, ttl, meta_ttl = history_options(channel, options)
	local key = options.idempotency_key
	key = key and key ~= '' and keys.idempotency .. redis.sha1hex(key) or nil
	local offset, epoch = recall(key)
	if offset then
		return result(options, offset, epoch, CACHED)
	end
	check_may_send(options, channel)
	if kept then
		return publish_kept(options, keys, data, key, size, ttl, meta_ttl)
	end
	return publish_plain(options, keys, data, key)
end

-- --- history ---

-- Where to read from and to, and how: all offsets above since, or with reverse below it, of which limit are read, or
-- the newest, or the newest before one.
local function range_of(options)
	local since = options.since
	local above = since and exact(since + 1) .. '-0' or '-'
	if options.newest then
		return 'XREVRANGE', options.before and exact(options.before - 1) .. '-0' or '+', above, options.newest
	elseif not options.limit or (options.reverse and since == 0) then
		return 'XRANGE', '-', '+', 0
	elseif options.reverse then
		return 'XREVRANGE', since and exact(since - 1) .. '-0' or '+', '-', options.limit
	end
	return 'XRANGE', above, '+', options.limit
end

-- From behind an entry; nil behind the last possible one, which somebody else can have put there.
local LAST = '18446744073709551615-18446744073709551615'

local function behind(id, command)
	return (command == 'XREVRANGE' or id ~= LAST) and '(' .. id or nil
end

-- So many more as fill the piece, if they are as large as those before them; at first as few as were there already.
local function next_step(count, bytes, piece)
	local fit = math.floor((piece - bytes) / (math.max(bytes, 1) / count)) + 1
	return math.max(1, math.min(count, fit, STEP_MAX))
end

-- Reads no more entries than fit into a piece, and whether some were left out for that. The first two always are in it: who
-- asks again for the last that he has gets something new in any case.
local function read_entries(keys, options)
	local command, from, to, limit = range_of(options)
	local piece, all, bytes, step = options.piece or BYTES_MAX, {}, 0, 1
	while #all < limit and from do
		step = math.min(step, limit - #all)
		local some = redis.call(command, keys.stream, from, to, 'COUNT', exact(step))
		for i = 1, #some do
			bytes = bytes + #some[i][2][2]
			if #all > 1 and bytes > piece then
				return all, true
			end
			all[#all + 1] = some[i]
		end
		if #some < step then
			return all, false
		end
		from, step = behind(all[#all][1], command), next_step(#all, bytes, piece)
	end
	return all, false
end

-- Offset and envelope, by turns.
local function flatten(entries, backwards)
	local flat, count = {}, #entries
	for i = 1, count do
		local entry = entries[backwards and count + 1 - i or i]
		flat[2 * i - 1] = tonumber(entry[1]:match('^%d+'))
		flat[2 * i] = entry[2][2]
	end
	return flat
end

local function history(channel, args)
	local options = read_options(HISTORY_OPTIONS, args, 1)
	if options.newest and (options.limit or options.reverse) then
		refuse('newest does not go together with limit and reverse')
	elseif options.before and not options.newest then
		refuse('before goes together with newest')
	end
	local keys = keys_of(channel)
	local meta = read_meta(keys)
	local entries, more = {}, false
	if meta.epoch and meta.epoch == options.parted then
		part(keys, meta)
	end
	if meta.epoch then
		entries, more = read_entries(keys, options)
	else
		begin_epoch(keys, meta)
	end
	redis.call('EXPIRE', keys.meta, options.meta_ttl or configured(channel)[3])
	local flat = flatten(entries, options.newest)
	-- Workers that do not ask for a piece know no more than three parts.
	return options.piece and {meta.epoch, meta.offset, flat, more and 1 or 0} or {meta.epoch, meta.offset, flat}
end

-- The position goes on: who had all of it still has. Workers forget what they have kept of it.
local function history_remove(channel, args)
	local keys = keys_of(channel)
	local options = read_options(REMOVE_OPTIONS, args, 1)
	read_meta(keys)
	check_may_send(options, channel)
	local removed = redis.call('UNLINK', keys.stream)
	send(options, channel, '{"fanfare":1,"history_removed":true}')
	return removed
end

-- --- presence ---

-- Who is a member is said by workers, each for its own clients. What is here can be lost, and a worker can die: so all
-- of them look at each of their channels again and again, and put right what is not as they know it.

local PRESENCE_TTL = 24 * 3600 -- of the keys, of which workers remind us far more often
local DUE_MAX = 100            -- leaves that are told in one call
local DEAD_TTL_MS = 3600 * 1000
local MEMBERS_MAX = 20000      -- in one answer: Redis stands still for 10 us for each
local REAP_MAX = 2000          -- members that are taken away in one call, likewise
local WORKER = '^%x[%x-]+$'

local function presence_keys_of(channel)
	local base = keys_of(channel).presence
	return {
		channel = channel, workers = base, of = base .. '.of.', users = base .. '.users', left = base .. '.left',
		due = base .. '.due',
	}
end

local function now_ms()
	local time = redis.call('TIME')
	return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A member as it is kept: the user with its length before it, and the info.
local function member_of(user, info)
	return #user .. ':' .. user .. info
end

-- Nothing for what somebody else has put there: nobody came with it, and nobody leaves.
local function user_and_info(member)
	local len, from = member:match('^(%d+):()')
	if not len or #len > 9 then
		return nil
	end
	return member:sub(from, from + len - 1), member:sub(from + len)
end

local function tell(call, keys, what, info)
	if call.tells then
		send(call, keys.channel, '{"fanfare":1,"' .. what .. '":' .. info .. '}')
	end
end

-- Sets aside a leave; or takes the oldest that was set aside for the user, who then has come back.
local function put_aside(keys, user, info, due)
	local left = redis.call('HGET', keys.left, user) or ''
	redis.call('HSET', keys.left, user, left .. exact(due) .. ' ' .. info .. '\n')
	if left == '' then
		redis.call('ZADD', keys.due, exact(due), user)
	end
end

local function take_aside(keys, user)
	local left = redis.call('HGET', keys.left, user)
	if not left then
		return nil
	end
	local info, rest = left:match('^%d+ ([^\n]*)\n(.*)$')
	if not rest or rest == '' then
		redis.call('HDEL', keys.left, user)
		redis.call('ZREM', keys.due, user)
	else
		redis.call('HSET', keys.left, user, rest)
		redis.call('ZADD', keys.due, rest:match('^%d+') or '0', user)
	end
	return info
end

local function tell_due(call, keys)
	for _ = 1, DUE_MAX do
		local user = redis.call('ZRANGEBYSCORE', keys.due, '-inf', exact(call.now), 'LIMIT', 0, 1)[1]
		if not user then
			return
		end
		local info = take_aside(keys, user)
		if info then
			tell(call, keys, 'leave', info)
		else
			redis.call('ZREM', keys.due, user)
		end
	end
end

-- In how many ms the next leave that was set aside is to be told; -1: there is none.
local function next_due(call, keys)
	local first = redis.call('ZRANGE', keys.due, 0, 0, 'WITHSCORES')
	return first[2] and math.max(0, tonumber(first[2]) - call.now) or -1
end

local function count_user(keys, user, by)
	if user and redis.call('HINCRBY', keys.users, user, by) <= 0 then
		redis.call('HDEL', keys.users, user)
	end
end

-- Who is there already is put again by a worker that does not know whether we have it.
local function join(call, keys, client, user, info, silent)
	local before = redis.call('HGET', keys.of .. call.worker, client)
	if before then
		count_user(keys, (user_and_info(before)), -1)
	end
	redis.call('HSET', keys.of .. call.worker, client, member_of(user, info))
	count_user(keys, user, 1)
	if not before and not silent and not (call.grace > 0 and user ~= '' and take_aside(keys, user)) then
		tell(call, keys, 'join', info)
	end
end

local function gone(call, keys, member)
	local user, info = user_and_info(member)
	count_user(keys, user, -1)
	if not user then
		return
	elseif call.grace > 0 and user ~= '' then
		put_aside(keys, user, info, call.now + call.grace)
	else
		tell(call, keys, 'leave', info)
	end
end

local function leave(call, keys, client)
	local member = redis.call('HGET', keys.of .. call.worker, client)
	if member then
		redis.call('HDEL', keys.of .. call.worker, client)
		gone(call, keys, member)
	end
end

-- Members of a worker that is no more, of which was learnt at that time: so many at once, the others by the calls that
-- follow. That it was so is kept: if it is alive after all, those who heard of the leaves have to hear that its members are
-- back. Who has said something later is alive, and whoever calls it dead has not heard of it yet. But what was said in the
-- future was said before the clock was set back, and proves nothing.
local function reap(call, keys, worker, at)
	local said = tonumber(redis.call('HGET', keys.workers, worker) or '')
	if worker == call.worker or not said then
		return
	end
	local since = math.abs(said)
	if since > at and since <= call.now then
		return
	end
	local members = redis.call('HSCAN', keys.of .. worker, '0', 'COUNT', REAP_MAX)[2]
	if #members == 0 then
		return
	end
	redis.call('HSET', keys.workers, worker, exact(-at))
	for i = 1, #members, 2 do
		redis.call('HDEL', keys.of .. worker, members[i])
		gone(call, keys, members[i + 1])
	end
end

-- The workers with members. Those that were found dead long ago are forgotten.
local function look_at_workers(call, keys)
	local there, kept = {}, redis.call('HGETALL', keys.workers)
	for i = 1, #kept, 2 do
		local since = tonumber(kept[i + 1]) or 0
		if redis.call('EXISTS', keys.of .. kept[i]) == 1 then
			there[#there + 1] = kept[i]
		elseif since <= 0 and call.now + since > DEAD_TTL_MS then
			redis.call('HDEL', keys.workers, kept[i])
		end
	end
	return there
end

-- Redis can lose one key and keep another, when it is short of memory. A worker is not noted when it has no members.
local function users_do_not_fit(call, keys, since)
	local has_members = redis.call('EXISTS', keys.of .. call.worker) == 1
	if has_members then
		return redis.call('EXISTS', keys.users) == 0
	end
	return since and not call.was_reaped
end

local function count_users(keys)
	redis.call('UNLINK', keys.users)
	for _, worker in ipairs(redis.call('HKEYS', keys.workers)) do
		for _, member in ipairs(redis.call('HVALS', keys.of .. worker)) do
			count_user(keys, (user_and_info(member)), 1)
		end
	end
end

local STEPS = {['+'] = 4, ['='] = 4, ['-'] = 2}
local FIRST_STEP = 5

local function check_steps(args)
	local i = FIRST_STEP
	while i <= #args do
		local width = STEPS[args[i]]
		if not width or args[i + width - 1] == nil then
			refuse('a step is +, = or - with what belongs to it')
		end
		i = i + width
	end
end

local function take_steps(call, keys, args)
	local i = FIRST_STEP
	while i <= #args do
		local step = args[i]
		if step == '-' then
			leave(call, keys, args[i + 1])
		else
			join(call, keys, args[i + 1], args[i + 2], args[i + 3], step == '=' and not call.was_reaped)
		end
		i = i + STEPS[step]
	end
end

local function has(flags, letter)
	return flags:find(letter, 1, true) ~= nil
end

-- While the members of a worker that was found dead are put back, it stays so, but nobody finds it dead for the same again.
local function see_to_worker(call, keys, count)
	if call.was_reaped and not has(call.flags, 'd') then
		redis.call('HSET', keys.workers, call.worker, exact(-call.now))
	elseif count > 0 then
		redis.call('HSET', keys.workers, call.worker, exact(call.now))
	else
		redis.call('HDEL', keys.workers, call.worker)
	end
end

-- An error if one is something else, before anything was written: who is half there is not told when he comes.
local function check_kinds(call, keys)
	for _, hash in ipairs({keys.workers, keys.users, keys.left}) do
		redis.call('HLEN', hash)
	end
	if not has(call.flags, 'c') then
		redis.call('HLEN', keys.of .. call.worker)
	end
	redis.call('ZRANGE', keys.due, 0, 0)
end

local function expire(call, keys)
	for _, key in ipairs({keys.workers, keys.of .. call.worker, keys.users, keys.left, keys.due}) do
		redis.call('EXPIRE', key, PRESENCE_TTL)
	end
end

-- Worker, flags, grace in ms, the workers that are dead, each with @ and the time (ms) at which that was learnt from
-- fanfare_workers; then steps:
-- + client user info for who came, = the same for who is there and may be missing here, - client for who left.
-- Flags: j joins and leaves are told; w the workers are asked for; c what is here of the worker is forgotten; d all who
-- are there have been said. Answers how many members the worker has; with w, the workers that have any; and in how many ms
-- to call again, as a leave is to be told then (-1: not for that).
local function presence_update(channel, args)
	local call = {worker = args[1] or '', flags = args[2] or '', grace = tonumber(args[3] or ''), now = now_ms()}
	if not call.worker:find(WORKER) or not call.grace or not args[4] then
		refuse('needs a worker, flags, a grace, and the dead')
	end
	call.tells = has(call.flags, 'j')
	check_steps(args)
	local keys = presence_keys_of(channel)
	check_may_send(call, channel)
	check_kinds(call, keys)
	local since = redis.call('HGET', keys.workers, call.worker)
	call.was_reaped = since and since:sub(1, 1) == '-'
	local miscounted = has(call.flags, 'c') or users_do_not_fit(call, keys, since)
	for dead, at in args[4]:gmatch('(%S+)@(%d+)') do
		reap(call, keys, dead, tonumber(at))
	end
	if has(call.flags, 'c') then
		redis.call('UNLINK', keys.of .. call.worker)
	end
	take_steps(call, keys, args)
	tell_due(call, keys)
	local count = redis.call('HLEN', keys.of .. call.worker)
	see_to_worker(call, keys, count)
	if miscounted then
		count_users(keys)
	end
	expire(call, keys)
	return {count, has(call.flags, 'w') and look_at_workers(call, keys) or {}, next_due(call, keys)}
end

-- By turns a worker and its members, these by turns a client and what is kept of it, without the user.
local function presence(channel)
	local keys, all, bytes, count = presence_keys_of(channel), {}, 0, 0
	for _, worker in ipairs(redis.call('HKEYS', keys.workers)) do
		count = count + redis.call('HLEN', keys.of .. worker)
		if count > MEMBERS_MAX then
			refuse('too many members for one answer')
		end
		local members = redis.call('HGETALL', keys.of .. worker)
		for i = 2, #members, 2 do
			members[i] = select(2, user_and_info(members[i])) or ''
			bytes = bytes + #members[i]
		end
		if bytes > BYTES_MAX then
			refuse('too many members for one answer')
		elseif #members > 0 then
			all[#all + 1] = worker
			all[#all + 1] = members
		end
	end
	return all
end

-- The number of users, then by turns a worker and the number of its members.
local function presence_stats(channel)
	local keys = presence_keys_of(channel)
	local all = {redis.call('HLEN', keys.users)}
	for _, worker in ipairs(redis.call('HKEYS', keys.workers)) do
		local count = redis.call('HLEN', keys.of .. worker)
		if count > 0 then
			all[#all + 1] = worker
			all[#all + 1] = count
		end
	end
	return all
end

-- Renews the lease of a worker: its name, how long in ms, the digest of the names that it knows, and workers that are
-- dead. When nobody has renewed for half a lease (each does so far more often), it was Redis that was away, and nobody is
-- dead for it; nor lives somebody longer because the clock was set back: all have a whole lease then. Answers whether the
-- worker had a lease, the digest of the names that are alive, and these if they are others than the worker knows.
-- With 0 ms it gives its lease back, as it ends.
local SEEN = '.seen'
local RENEWAL_MAX_MS = 2000 -- workers renew at least so often (workers.c), whatever the lease of the one that calls

local function read_leases(key, lease, now)
	local leases, all = {}, redis.call('HGETALL', key)
	for i = 1, #all, 2 do
		leases[all[i]] = tonumber(all[i + 1]) or 0
	end
	local jumped = math.abs(now - (leases[SEEN] or 0)) > lease / 2
	leases[SEEN] = nil
	return leases, jumped
end

local function workers(key, args)
	local worker, lease, known, now = args[1] or '', tonumber(args[2] or ''), args[3], now_ms()
	if not worker:find(WORKER) or not lease or lease < 0 or not known then
		refuse('needs a worker, a lease, and what is known')
	end
	for i = 4, #args do
		redis.call('HDEL', key, args[i])
	end
	if lease == 0 then
		return {redis.call('HDEL', key, worker), known, {}, now}
	end
	local leases, jumped = read_leases(key, lease, now)
	local had, names = leases[worker] and 1 or 0, {}
	leases[worker] = now + lease
	for name, ends in pairs(leases) do
		if ends > now or jumped then
			names[#names + 1] = name
		else
			redis.call('HDEL', key, name)
		end
		if jumped then
			redis.call('HSET', key, name, exact(now + math.max(lease, 2 * RENEWAL_MAX_MS)))
		end
	end
	redis.call('HSET', key, worker, exact(now + lease), SEEN, exact(now))
	redis.call('EXPIRE', key, PRESENCE_TTL)
	table.sort(names)
	local digest = redis.sha1hex(table.concat(names, ' '))
	return {had, digest, digest ~= known and names or {}, now}
end

local function version()
	return {VERSION, POLICY.stamp, POLICY.digest, POLICY.host}
end

-- --- in a cluster ---

-- While a slot moves to another node, some keys of a channel may be there already, and others not yet. Calls come to
-- the new node then, as there never is a key of the channel's own name; but brokers still hear the old one, and what is
-- not there yet looks as if it had never been. So a call does nothing but ask for another try, until the slot has moved. A
-- node finds out by asking for two keys of which one does not exist: that is allowed only in a slot that stands still.
local function check_slot(channel)
	local keys = keys_of(channel)
	local answer = redis.pcall('EXISTS', keys.meta, keys.meta .. '.none')
	if type(answer) == 'table' and answer.err then
		error({refusal = 'TRYAGAIN the slot of the channel is moving to another node'}, 0)
	end
end

-- --- the face ---

local FUNCTIONS = {
	fanfare_publish = {run = publish, keys = 1},
	-- What is kept can be read, and be removed, when Redis is out of memory.
	fanfare_history = {run = history, keys = 1, flags = {'allow-oom'}},
	fanfare_history_remove = {run = history_remove, keys = 1, flags = {'allow-oom'}},
	fanfare_presence_update = {run = presence_update, keys = 1},
	fanfare_presence = {run = presence, keys = 1, flags = {'no-writes', 'allow-oom'}},
	fanfare_presence_stats = {run = presence_stats, keys = 1, flags = {'no-writes', 'allow-oom'}},
	fanfare_workers = {run = workers, keys = 1, flags = {'allow-oom'}},
	fanfare_version = {run = version, keys = 0, flags = {'no-writes', 'allow-oom', 'allow-stale'}},
}

-- Our refusals, and the errors of commands, which come as a text or as a table, begin with a code: it stays in front, where clients
-- look for it. What has none is a fault of ours, and Redis adds where.
local function error_of(name, reason)
	local text = type(reason) == 'table' and (reason.refusal or reason.err) or reason
	local code, rest = tostring(text):match('^(%u+) (.*)$')
	if not code then
		error(reason, 0)
	end
	return redis.error_reply(code .. ' ' .. name .. ': ' .. rest)
end

local function run(name, keys, args)
	local f = FUNCTIONS[name]
	if not f then
		return redis.error_reply('ERR no function ' .. tostring(name))
	elseif #keys ~= f.keys then
		return redis.error_reply('ERR ' .. name .. ': needs ' .. f.keys .. ' key')
	end
	local good, reply = true, nil
	if POLICY.sharded and f.keys == 1 then
		good, reply = pcall(check_slot, keys[1])
	end
	if good then
		good, reply = pcall(f.run, f.keys == 1 and keys[1] or nil, args)
	end
	if good then
		return reply
	end
	return error_of(name, reply)
end

-- While a library is loaded there are no other functions to call than this one.
local function register(name)
	redis.register_function({
		function_name = name,
		callback = function(keys, args)
			return run(name, keys, args)
		end,
		flags = FUNCTIONS[name].flags or {},
	})
end

if not redis.register_function then
	return run(table.remove(ARGV, 1), KEYS, ARGV)
end
register('fanfare_publish')
register('fanfare_history')
register('fanfare_history_remove')
register('fanfare_presence_update')
register('fanfare_presence')
register('fanfare_presence_stats')
register('fanfare_workers')
register('fanfare_version')
