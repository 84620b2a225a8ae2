// Unit test of deploy/web/fanfare.js: a fake WebSocket stands for the broker and a fake clock for the time, so
// that every rule of the protocol that the client keeps is seen at the exact moment. Run by `node --test`.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { readFileSync } from "node:fs";

// As a data: URL, since Node takes a plain .js file for CommonJS and the browser wants it named .js.
const source = readFileSync(new URL("../../deploy/web/fanfare.js", import.meta.url), "utf8");
const { Client, backoffMs, isTerminalClose } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

// ---- The fakes ----

const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
let now = 0;
let timers = [];
let sockets = [];

class FakeSocket {
	readyState = 0;
	sent = [];
	closed = false;

	constructor(url) {
		this.url = url;
		sockets.push(this);
	}

	send(text) {
		for (const line of text.split("\n"))
			this.sent.push(JSON.parse(line));
		this.frames = (this.frames ?? 0) + 1;
	}

	close() {
		this.closed = true;
		this.readyState = 3;
	}

	// The broker's side.
	open() {
		this.readyState = 1;
		this.onopen();
	}

	say(...replies) {
		this.onmessage({ data: replies.map((reply) => JSON.stringify(reply)).join("\n") });
	}

	end(code, reason = "") {
		this.readyState = 3;
		this.onclose({ code, reason });
	}
}

function advance(ms) {
	const end = now + ms;
	for (;;) {
		const next = timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
		if (!next)
			break;
		timers = timers.filter((timer) => timer !== next);
		now = next.at;
		next.run();
	}
	now = end;
}

beforeEach(() => {
	now = 0;
	timers = [];
	sockets = [];
	globalThis.setTimeout = (run, ms) => {
		const timer = { run, at: now + ms };
		timers.push(timer);
		return timer;
	};
	globalThis.clearTimeout = (gone) => { timers = timers.filter((timer) => timer !== gone); };
});

afterEach(() => Object.assign(globalThis, real));

const last = () => sockets.at(-1);

function makeClient() {
	const seen = { states: [], subs: [], pubs: [], info: null };
	const client = new Client("ws://broker/connection/websocket", {
		WebSocket: FakeSocket,
		random: () => 0,
		onState: (state, info) => { seen.states.push(state); seen.info = info; },
		onSubscription: (channel, state, info) => seen.subs.push([channel, state, info]),
		onPublication: (channel, publication) => seen.pubs.push([channel, publication.data]),
	});
	return { client, seen };
}

// A client that is connected and subscribed to news: connect was command 1, subscribe command 2.
function connectedClient(connect = { client: "c", ping: 25, pong: true }) {
	const made = makeClient();
	made.client.connect();
	made.client.subscribe("news");
	last().open();
	last().say({ id: 1, connect }, { id: 2, subscribe: {} });
	return made;
}

const states = (seen) => seen.subs.map(([, state]) => state);

// ---- Connecting ----

test("connect and all subscribes go out in one frame, connect first", () => {
	const { client } = makeClient();
	client.subscribe("news");
	client.subscribe("chat");
	client.connect();
	last().open();
	assert.equal(last().frames, 1);
	assert.deepEqual(last().sent, [
		{ id: 1, connect: { name: "fanfare.js" } },
		{ id: 2, subscribe: { channel: "news" } },
		{ id: 3, subscribe: { channel: "chat" } },
	]);
});

test("publications in the frame of the subscribe reply are delivered, in order", () => {
	const { client, seen } = makeClient();
	client.subscribe("news");
	client.connect();
	last().open();
	last().say({ id: 1, connect: {} }, { id: 2, subscribe: {} },
		{ push: { channel: "news", pub: { data: 1 } } }, { push: { channel: "news", pub: { data: 2 } } });
	assert.deepEqual(seen.pubs, [["news", 1], ["news", 2]]);
	assert.deepEqual(seen.states, ["connecting", "connected"]);
});

test("a connection that never opens is given up after ten seconds, and tried again", () => {
	const { client, seen } = makeClient();
	client.connect();
	advance(9999);
	assert.equal(last().closed, false);
	advance(1);
	assert.equal(last().closed, true);
	assert.equal(seen.info.retryMs, 500);
	advance(500);
	assert.equal(sockets.length, 2);
});

test("a temporary connect error is tried again, any other is final", () => {
	for (const [temporary, expected] of [[true, "connecting"], [undefined, "disconnected"]]) {
		const { client } = makeClient();
		client.connect();
		last().open();
		last().say({ id: 1, error: { code: temporary ? 100 : 103, message: "no", temporary } });
		assert.equal(client.state, expected);
		assert.equal(last().closed, true);
	}
});

test("no answer to connect within five seconds is a lost connection", () => {
	const { client } = makeClient();
	client.connect();
	last().open();
	advance(5000);
	assert.equal(last().closed, true);
	assert.equal(client.state, "connecting");
});

// ---- Staying connected ----

test("the close code decides whether to come back", () => {
	for (const code of [1000, 1006, 3000, 3001, 3008, 3499, 4000, 4499, 5000])
		assert.equal(isTerminalClose(code), false, `code ${code}`);
	for (const code of [1009, 3500, 3999, 4500, 4999])
		assert.equal(isTerminalClose(code), true, `code ${code}`);

	const { client, seen } = connectedClient();
	last().end(3503, "force disconnect");
	assert.equal(client.state, "disconnected");
	assert.deepEqual(seen.info, { code: 3503, reason: "force disconnect" });
	advance(60000);
	assert.equal(sockets.length, 1);
});

test("backoff has full jitter between half a second and twenty", () => {
	assert.equal(backoffMs(0, () => 0), 500);
	assert.equal(backoffMs(0, () => 1), 1000);
	assert.equal(backoffMs(3, () => 0.5), 2500);
	assert.equal(backoffMs(50, () => 0), 500);
	assert.equal(backoffMs(50, () => 1), 20000);
});

test("after a break it reconnects and subscribes again", () => {
	const { client, seen } = connectedClient();
	last().end(3001, "shutdown");
	assert.equal(client.state, "connecting");
	assert.equal(seen.info.retryMs, 500);
	advance(500);
	last().open();
	assert.deepEqual(last().sent.map((command) => command.connect ? "connect" : command.subscribe.channel),
		["connect", "news"]);
	last().say({ id: 3, connect: {} }, { id: 4, subscribe: {} });
	assert.deepEqual(states(seen), ["subscribing", "subscribed", "subscribing", "subscribed"]);
});

test("attempts grow apart until one succeeds", () => {
	const client = new Client("ws://x", { WebSocket: FakeSocket, random: () => 1 });
	client.connect();
	const waits = [];
	for (let attempt = 0; attempt < 7; attempt++) {
		const before = now;
		const count = sockets.length;
		last().end(1006);
		while (sockets.length === count)
			advance(100);
		waits.push(now - before);
	}
	assert.deepEqual(waits, [1000, 1500, 2500, 4500, 8500, 16500, 20000]);
	last().open();
	last().say({ id: 1, connect: {} });
	last().end(1006);
	assert.equal(timers.at(-1).at - now, 1000);
});

test("connect while waiting tries at once, and only once", () => {
	const { client } = connectedClient();
	last().end(1006);
	client.connect();
	assert.equal(sockets.length, 2);
	client.connect();
	advance(5000);
	assert.equal(sockets.length, 2);
});

test("disconnect ends everything and leaves no timer", () => {
	const { client, seen } = connectedClient();
	client.disconnect();
	assert.equal(last().closed, true);
	assert.deepEqual(timers, []);
	assert.equal(seen.states.at(-1), "disconnected");
});

// ---- Pings ----

test("a ping is answered if the broker wants it", () => {
	connectedClient({ ping: 25, pong: true });
	last().say({});
	assert.deepEqual(last().sent.at(-1), {});

	connectedClient({ ping: 25 });
	const count = last().sent.length;
	last().say({});
	assert.equal(last().sent.length, count);
});

test("silence for longer than the ping interval and ten seconds is a dead connection", () => {
	const { client, seen } = connectedClient();
	advance(34999);
	last().say({});
	advance(34999);
	assert.equal(client.state, "connected");
	advance(1);
	assert.equal(client.state, "connecting");
	assert.equal(seen.info.reason, "no ping");
});

test("without a ping interval silence means nothing", () => {
	const { client } = connectedClient({});
	advance(3600000);
	assert.equal(client.state, "connected");
});

// ---- Subscriptions ----

test("a temporary subscribe error is tried again, any other is final", () => {
	const { client, seen } = connectedClient();
	client.subscribe("a");
	client.subscribe("b");
	last().say({ id: 3, error: { code: 100, message: "internal server error", temporary: true } },
		{ id: 4, error: { code: 103, message: "permission denied" } });
	assert.deepEqual(seen.subs.at(-1), ["b", "unsubscribed", { code: 103, reason: "permission denied" }]);
	const count = last().sent.length;
	advance(500);
	assert.deepEqual(last().sent.slice(count), [{ id: 5, subscribe: { channel: "a" } }]);
});

test("a subscribe without an answer costs the connection", () => {
	const { client } = connectedClient();
	client.subscribe("slow");
	advance(4999);
	assert.equal(client.state, "connected");
	advance(1);
	assert.equal(client.state, "connecting");
});

test("unsubscribe push: below 2500 for good, from 2500 on subscribe anew", () => {
	const { seen } = connectedClient();
	last().say({ push: { channel: "news", unsubscribe: { code: 2500, reason: "insufficient state" } } });
	assert.equal(seen.subs.at(-1)[1], "subscribing");
	advance(0);
	assert.deepEqual(last().sent.at(-1), { id: 3, subscribe: { channel: "news" } });
	last().say({ id: 3, subscribe: {} });
	last().say({ push: { channel: "news", unsubscribe: { code: 2000, reason: "server unsubscribe" } } });
	assert.equal(seen.subs.at(-1)[1], "unsubscribed");
	advance(20000);
	assert.equal(last().sent.length, 3);
});

test("what still arrives after unsubscribe is not delivered", () => {
	const { client, seen } = connectedClient();
	client.unsubscribe("news");
	assert.deepEqual(last().sent.at(-1), { id: 3, unsubscribe: { channel: "news" } });
	last().say({ push: { channel: "news", pub: { data: 1 } } }, { id: 3, unsubscribe: {} });
	assert.deepEqual(seen.pubs, []);
});

test("the answer to an abandoned subscribe does not count for the next one", () => {
	const { client, seen } = connectedClient();
	client.subscribe("chat");
	client.unsubscribe("chat");
	client.subscribe("chat");
	last().say({ id: 3, subscribe: {} }, { push: { channel: "chat", pub: { data: "early" } } });
	assert.equal(seen.subs.at(-1)[1], "subscribing");
	last().say({ id: 4, unsubscribe: {} }, { id: 5, subscribe: {} }, { push: { channel: "chat", pub: { data: "late" } } });
	assert.deepEqual(seen.pubs, [["chat", "late"]]);
});

test("a failed unsubscribe begins anew with a clean connection", () => {
	const { client } = connectedClient();
	client.unsubscribe("news");
	advance(5000);
	assert.equal(last().closed, true);
	assert.equal(client.state, "connecting");
});

test("on a channel with history it asks for what it missed", () => {
	const { client, seen } = makeClient();
	client.subscribe("chat");
	client.connect();
	last().open();
	last().say({ id: 1, connect: {} }, { id: 2, subscribe: { recoverable: true, epoch: "Xo", offset: 5 } },
		{ push: { channel: "chat", pub: { data: "six", offset: 6 } } });
	last().end(1006);
	advance(500);
	last().open();
	assert.deepEqual(last().sent[1].subscribe, { channel: "chat", recover: true, epoch: "Xo", offset: 6 });
	last().say({ id: 3, connect: {} }, { id: 4, subscribe: { recoverable: true, epoch: "Xo", offset: 6,
		recovered: true, was_recovering: true, publications: [{ data: "seven", offset: 7 }] } });
	assert.deepEqual(seen.pubs, [["chat", "six"], ["chat", "seven"]]);
	assert.deepEqual(seen.subs.at(-1)[2], { lossless: true });
	last().end(1006);
	advance(500);
	last().open();
	assert.equal(last().sent[1].subscribe.offset, 7);
	last().say({ id: 5, connect: {} }, { id: 6, subscribe: { recoverable: true, epoch: "Yy", was_recovering: true } });
	assert.deepEqual(seen.subs.at(-1)[2], { lossless: false });
});

// ---- Publishing ----

test("publish resolves with the reply and rejects with code and message", async () => {
	const { client } = connectedClient();
	const taken = client.publish("news", { price: 42 });
	assert.deepEqual(last().sent.at(-1), { id: 3, publish: { channel: "news", data: { price: 42 } } });
	last().say({ id: 3, publish: {} });
	await taken;

	const refused = client.publish("news", null);
	last().say({ id: 4, error: { code: 103, message: "permission denied" } });
	await assert.rejects(refused, { code: 103, message: "permission denied" });
});

test("publish rejects without an answer, without a connection, and when it breaks", async () => {
	const { client } = connectedClient();
	const unanswered = client.publish("news", 1);
	advance(5000);
	await assert.rejects(unanswered, { code: 2 });
	const broken = client.publish("news", 2);
	last().end(1006);
	await assert.rejects(broken, { code: 1 });
	await assert.rejects(client.publish("news", 3), { code: 0, message: "not connected" });
});

// ---- Trouble ----

test("what is not JSON ends the connection for good", () => {
	const { client, seen } = connectedClient();
	last().onmessage({ data: '{"push":{}}\n{oops' });
	assert.equal(client.state, "disconnected");
	assert.equal(seen.info.reason, "bad protocol");
});

test("unknown replies, pushes and channels are ignored", () => {
	const { client, seen } = connectedClient();
	last().say({ id: 99, rpc: {} }, { push: { message: { data: 1 } } }, { push: { channel: "news", join: {} } },
		{ push: { channel: "elsewhere", pub: { data: 1 } } });
	assert.equal(client.state, "connected");
	assert.deepEqual(seen.pubs, []);
});

test("after disconnect the rest of a frame is not handled", () => {
	let seen = 0;
	const client = new Client("ws://x", { WebSocket: FakeSocket, onPublication: () => { seen++; client.disconnect(); } });
	client.subscribe("news");
	client.connect();
	last().open();
	last().say({ id: 1, connect: {} }, { id: 2, subscribe: {} },
		{ push: { channel: "news", pub: { data: 1 } } }, { push: { channel: "news", pub: { data: 2 } } });
	assert.equal(seen, 1);
});
