// The demo page. What it shows comes from fanfare.js; here is only the page: state, channels, messages, forms.
// Everything that came over the network enters the page as textContent, never as markup.

import { Client } from "/fanfare.js";

const MESSAGES_PER_CHANNEL = 100;
const PAYLOAD_SHOWN_CHARS = 4000;
const RENDER_EVERY_MS = 40;
const HUES = 6;

const $ = (id) => document.getElementById(id);
const channels = new Map();   // channel → { item, show, state, count, note, elements, total, hue }
let waiting = [];             // messages not yet in the page, oldest first
let onlyChannel = null;       // the channel to show, null: all
let retryAt = 0;

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const client = new Client(`${scheme}//${location.host}/connection/websocket`, {
	onState: showState,
	onSubscription: showSubscription,
	onPublication: (channel, publication) => queueMessage(channel, publication, new Date()),
});

function element(tag, className, text = "") {
	const made = document.createElement(tag);
	made.className = className;
	made.textContent = text;
	return made;
}

function quietButton(text, onClick) {
	const button = element("button", "quiet", text);
	button.type = "button";
	button.addEventListener("click", onClick);
	return button;
}

// ---- Connection ----

function showState(state, info) {
	retryAt = info.retryMs ? Date.now() + info.retryMs : 0;
	$("state").dataset.state = state;
	$("connect-button").textContent = state === "disconnected" ? "Connect" : retryAt ? "Try now" : "Disconnect";
	$("connect-button").dataset.action = state === "disconnected" || retryAt ? "connect" : "disconnect";
	if (state === "disconnected" && info.code)
		setState(`disconnected: ${info.reason || `code ${info.code}`}`);
	else if (retryAt)
		countDown();
	else
		setState(state);
}

function setState(text) {
	if ($("state").textContent !== text)   // a screen reader announces every change
		$("state").textContent = text;
}

function countDown() {
	if (retryAt === 0)
		return;
	setState(`connecting again in ${Math.max(1, Math.ceil((retryAt - Date.now()) / 1000))} s`);
	setTimeout(countDown, 250);
}

$("connect-button").addEventListener("click", (event) => {
	if (event.target.dataset.action === "disconnect")
		client.disconnect();
	else
		client.connect();
});

addEventListener("online", () => retryAt && client.connect());

// ---- Channels ----

function addChannel(channel) {
	const item = element("li", "subscription");
	const show = element("button", "show", channel);
	const count = element("span", "count", "0");
	const note = element("span", "note");
	const state = element("span", "hidden-label");
	show.type = "button";
	show.title = "show only this channel";
	show.setAttribute("aria-pressed", "false");
	show.addEventListener("click", () => showOnly(onlyChannel === channel ? null : channel));
	const remove = quietButton("Leave", () => removeChannel(channel));
	remove.setAttribute("aria-label", `Unsubscribe from ${channel}`);
	item.append(show, state, count, remove, note);
	item.dataset.channel = channel;
	item.dataset.hue = channels.size % HUES;
	$("subscriptions").append(item);
	channels.set(channel, { item, show, state, count, note, elements: [], total: 0, hue: item.dataset.hue });
}

function removeChannel(channel) {
	client.unsubscribe(channel);
	channels.get(channel).item.remove();
	for (const message of channels.get(channel).elements)
		message.remove();
	channels.delete(channel);
	if (onlyChannel === channel)
		showOnly(null);
	showEmpty();
	$("channel-input").focus();
}

function showSubscription(channel, state, info) {
	const entry = channels.get(channel);
	if (!entry)
		return;
	entry.item.dataset.state = state;
	entry.state.textContent = state;
	entry.note.textContent = info.code ? `${info.reason} (${info.code})` :
		info.lossless === false ? "some publications were missed" : "";
}

function showOnly(channel) {
	onlyChannel = channel;
	$("filter-note").textContent = channel === null ? "" : `only ${channel}`;
	for (const [name, entry] of channels)
		entry.show.setAttribute("aria-pressed", String(name === channel));
	for (const message of document.querySelectorAll(".message"))
		message.hidden = isFiltered(message.dataset.channel);
}

function isFiltered(channel) {
	return onlyChannel !== null && onlyChannel !== channel;
}

$("subscribe-form").addEventListener("submit", (event) => {
	event.preventDefault();
	const channel = $("channel-input").value.trim();
	if (channel === "")
		return;
	if (!channels.has(channel))
		addChannel(channel);
	client.subscribe(channel);
	$("channel-input").value = "";
});

// ---- Messages ----

// However fast they come, the page is touched at most every RENDER_EVERY_MS, and what could not be seen anyway
// never becomes an element.
function queueMessage(channel, publication, time) {
	if (waiting.length === 0)
		setTimeout(renderWaiting, RENDER_EVERY_MS);
	waiting.push({ channel, publication, time });
	channels.get(channel).total++;
	if (waiting.length > 2 * MESSAGES_PER_CHANNEL * channels.size)
		waiting = newestPerChannel(waiting);
}

function newestPerChannel(messages) {
	const seen = new Map();
	const isNew = ({ channel }) => {
		seen.set(channel, (seen.get(channel) ?? 0) + 1);
		return seen.get(channel) <= MESSAGES_PER_CHANNEL;
	};
	return messages.reverse().filter(isNew).reverse();
}

function renderWaiting() {
	const fresh = document.createDocumentFragment();
	for (const message of newestPerChannel(waiting))
		if (channels.has(message.channel))
			fresh.prepend(messageElement(message));
	waiting = [];
	$("messages").prepend(fresh);
	for (const entry of channels.values()) {
		entry.count.textContent = entry.total.toLocaleString("en");
		for (const old of entry.elements.splice(0, entry.elements.length - MESSAGES_PER_CHANNEL))
			old.remove();
	}
	showEmpty();
}

function messageElement({ channel, publication, time }) {
	const entry = channels.get(channel);
	const item = element("li", "message");
	const text = JSON.stringify(publication.data ?? null);
	const long = text.length > PAYLOAD_SHOWN_CHARS;
	const stamp = element("time", "", clockTime(time));
	stamp.dateTime = time.toISOString();
	item.append(stamp, element("span", "channel", channel));
	item.append(element("code", "payload", long ? `${text.slice(0, PAYLOAD_SHOWN_CHARS)} …` : text));
	if (publication.offset)
		item.append(element("span", "offset", `#${publication.offset}`));
	item.dataset.channel = channel;
	item.dataset.hue = entry.hue;
	item.hidden = isFiltered(channel);
	entry.elements.push(item);
	return item;
}

function clockTime(time) {
	const pad = (number, digits) => String(number).padStart(digits, "0");
	return `${pad(time.getHours(), 2)}:${pad(time.getMinutes(), 2)}:${pad(time.getSeconds(), 2)}` +
		`.${pad(time.getMilliseconds(), 3)}`;
}

function showEmpty() {
	$("empty").hidden = $("messages").childElementCount > 0;
}

$("clear-button").addEventListener("click", () => {
	$("messages").replaceChildren();
	for (const entry of channels.values())
		entry.elements = [];
	showEmpty();
});

// ---- Publish ----

function parseJson(text) {
	try {
		return { data: JSON.parse(text) };
	} catch (error) {
		return { error: text.trim() === "" ? "JSON wanted, for example {\"price\": 42}" : `Not JSON: ${error.message}` };
	}
}

function showResult(text, kind = "") {
	$("publish-result").textContent = text;
	$("publish-result").dataset.kind = kind;
}

function checkData() {
	const parsed = parseJson($("publish-data").value);
	$("publish-data").setAttribute("aria-invalid", String("error" in parsed));
	showResult(parsed.error ?? "", "error" in parsed ? "error" : "");
	showCommands();
	return parsed;
}

async function publish() {
	const channel = $("publish-channel").value.trim();
	const parsed = checkData();
	if ("error" in parsed || channel === "")
		return;
	try {
		await client.publish(channel, parsed.data);
		showResult(`published at ${clockTime(new Date())}`, "done");
	} catch (error) {
		showResult(`${error.message} (${error.code})`, "error");
	}
}

$("publish-form").addEventListener("submit", (event) => {
	event.preventDefault();
	publish();
});
$("publish-form").addEventListener("input", checkData);
$("publish-data").addEventListener("keydown", (event) => {
	if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
		event.preventDefault();
		publish();
	}
});

// ---- Lines for the terminal ----

function shellQuote(text) {
	return /^[\w:.\/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function commandLines() {
	const channel = $("publish-channel").value.trim() || "news";
	const text = $("publish-data").value.trim();
	const data = "error" in parseJson(text) ? '{"price": 42}' : text.replaceAll(/\s*\n\s*/g, " ");
	return [
		`build/release/fanfare publish ${shellQuote(channel)} ${shellQuote(data)}`,
		`build/release/fanfare redis-cli PUBLISH ${shellQuote(`fanfare:${channel}`)} ${shellQuote(data)}`,
		`build/release/fanfare subscribe ${shellQuote(channel)}`,
	];
}

function commandElement(line) {
	const item = element("li", "command");
	const code = element("code", "", line);
	const copy = quietButton("Copy", () => copyLine(code, copy));
	copy.setAttribute("aria-label", `Copy: ${line}`);
	item.append(code, copy);
	return item;
}

function showCommands() {
	$("commands").replaceChildren(...commandLines().map(commandElement));
}

// The clipboard is there for pages from https or localhost only; elsewhere the line gets selected.
async function copyLine(code, button) {
	try {
		await navigator.clipboard.writeText(code.textContent);
		button.textContent = "Copied";
		setTimeout(() => { button.textContent = "Copy"; }, 1500);
	} catch {
		getSelection().selectAllChildren(code);
	}
}

showCommands();
addChannel("news");
client.subscribe("news");
client.connect();
