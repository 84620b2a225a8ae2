// A client for Fanfare in one file, without an SDK: it connects, subscribes, publishes, and comes back when the
// connection breaks. Read it as the example of how little the protocol asks for.
//
//	const client = new Client("ws://localhost:8080/connection/websocket", {
//		onState: (state, info) => {},                  // "connecting", "connected", "disconnected"
//		onSubscription: (channel, state, info) => {},  // "subscribing", "subscribed", "unsubscribed"
//		onPublication: (channel, publication) => console.log(channel, publication.data),
//	});
//	client.connect();
//	client.subscribe("news");
//	await client.publish("news", { price: 42 });
//
// It speaks the JSON form of the Centrifuge client protocol, version 2:
//
//	> {"id":1,"connect":{}}                          a command has a number, its name, and what it asks for
//	> {"id":2,"subscribe":{"channel":"news"}}        a text frame may hold several, one a line
//	< {"id":1,"connect":{"client":"5e4f","ping":25,"pong":true}}
//	< {"id":2,"error":{"code":103,"message":"permission denied"}}
//	< {"push":{"channel":"news","pub":{"data":{"price":42}}}}
//	< {}                                             a ping; the answer is the same
//
// It does not know tokens, presence, history, rpc, server-side subscriptions or Protobuf. The SDKs do.

const COMMAND_TIMEOUT_MS = 5000;
const OPEN_TIMEOUT_MS = 10000;
const PING_GRACE_MS = 10000;
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 20000;

const CONNECTION_LOST = { code: 1, message: "connection lost" };
const TIMEOUT = { code: 2, message: "no answer in time" };

// Full jitter: clients that lost their broker in the same instant must not come back in the same instant.
export function backoffMs(attempt, random = Math.random) {
	const span = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** attempt);
	return Math.min(BACKOFF_MAX_MS, Math.round(BACKOFF_MIN_MS + random() * span));
}

// What the number of a close frame means: true if coming back would only be refused again. 1009 is WebSocket's
// own "message too big": what was too big once would be too big again.
export function isTerminalClose(code) {
	return (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999) || code === 1009;
}

export class Client {
	#url;
	#events;
	#WebSocket;
	#random;
	#state = "disconnected";
	#socket = null;
	#pongs = false;            // whether the broker wants its pings answered
	#pingIntervalMs = 0;       // 0: the broker sends no pings
	#silenceTimer = null;
	#retryTimer = null;
	#attempts = 0;
	#lastId = 0;
	#calls = new Map();          // command id → { onResult, onError, timer }
	#subscriptions = new Map();  // channel → { channel, state, attempts, timer, recoverable, epoch, offset }

	// `WebSocket` and `random` are there for tests.
	constructor(url, { onState, onSubscription, onPublication, WebSocket, random } = {}) {
		const nothing = () => {};
		this.#url = url;
		this.#events = {
			onState: onState ?? nothing,
			onSubscription: onSubscription ?? nothing,
			onPublication: onPublication ?? nothing,
		};
		this.#WebSocket = WebSocket ?? globalThis.WebSocket;
		this.#random = random ?? Math.random;
	}

	get state() {
		return this.#state;
	}

	// Connects, and stays connected until disconnect() or until the broker refuses for good. Called while waiting
	// for the next attempt, it makes that attempt now.
	connect() {
		if (this.#socket === null)
			this.#open();
	}

	// Subscriptions are kept, the next connect() restores them.
	disconnect() {
		this.#drop();
		this.#setState("disconnected", { code: 0, reason: "disconnect called" });
	}

	// Subscribes now or as soon as there is a connection, and again on every later one.
	subscribe(channel) {
		let sub = this.#subscriptions.get(channel);
		if (sub && sub.state !== "unsubscribed")
			return;
		sub = { channel, state: "", attempts: 0, timer: null, recoverable: false, epoch: "", offset: 0 };
		this.#subscriptions.set(channel, sub);
		this.#setSubscription(sub, "subscribing");
		if (this.#isOpen())
			this.#sendSubscribe(sub);
	}

	unsubscribe(channel) {
		const sub = this.#subscriptions.get(channel);
		if (!sub)
			return;
		const wanted = sub.state !== "unsubscribed";
		clearTimeout(sub.timer);
		this.#subscriptions.delete(channel);
		this.#setSubscription(sub, "unsubscribed", { code: 0, reason: "unsubscribe called" });
		if (!wanted || !this.#isOpen())
			return;
		// A broker that cannot unsubscribe us would go on sending: begin anew with a clean connection.
		const onError = (error) => error !== CONNECTION_LOST && this.#lost(0, "unsubscribe failed");
		this.#call({ unsubscribe: { channel } }, () => {}, onError);
	}

	// Resolves when the broker has taken the publication, rejects with an Error that has `code` and `temporary`.
	publish(channel, data) {
		return new Promise((resolve, reject) => {
			const onError = (error) => reject(Object.assign(new Error(error.message), error));
			if (this.#state === "connected")
				this.#call({ publish: { channel, data } }, resolve, onError);
			else
				onError({ code: 0, message: "not connected", temporary: true });
		});
	}

	// ---- The connection ----

	#open() {
		clearTimeout(this.#retryTimer);
		this.#setState("connecting");
		this.#socket = new this.#WebSocket(this.#url);
		this.#socket.onopen = () => this.#handshake();
		this.#socket.onmessage = (event) => this.#receive(event.data);
		this.#socket.onclose = (event) => this.#lost(event.code, event.reason);
		this.#silenceTimer = setTimeout(() => this.#lost(0, "cannot connect"), OPEN_TIMEOUT_MS);
	}

	// Connect and all subscribes go out in one frame: the broker works them off in order, and a reconnect costs
	// one round trip however many channels there are.
	#handshake() {
		const batch = [];
		const onResult = (result) => this.#connected(result);
		const onError = (error) => this.#refused(error);
		clearTimeout(this.#silenceTimer);
		this.#call({ connect: { name: "fanfare.js" } }, onResult, onError, batch);
		for (const sub of this.#subscriptions.values())
			if (sub.state === "subscribing")
				this.#sendSubscribe(sub, batch);
		this.#socket.send(batch.join("\n"));
	}

	#connected(result) {
		this.#attempts = 0;
		this.#pongs = result.pong === true;
		this.#pingIntervalMs = (result.ping ?? 0) * 1000;
		this.#expectPing();
		this.#setState("connected", { client: result.client, version: result.version });
	}

	#refused(error) {
		if (error === CONNECTION_LOST)
			return;
		if (error === TIMEOUT || error.temporary) {
			this.#lost(error.code, error.message);
		} else {
			this.#drop();
			this.#setState("disconnected", { code: error.code, reason: error.message });
		}
	}

	#lost(code, reason) {
		this.#drop();
		if (isTerminalClose(code)) {
			this.#setState("disconnected", { code, reason });
			return;
		}
		const retryMs = backoffMs(this.#attempts++, this.#random);
		this.#retryTimer = setTimeout(() => this.#open(), retryMs);
		this.#setState("connecting", { code, reason, retryMs });
	}

	// The one way a connection ends, whoever ended it. A dead network can keep a closing WebSocket for minutes, so
	// we stop listening to it and go on without it.
	#drop() {
		const socket = this.#socket;
		this.#socket = null;
		this.#pingIntervalMs = 0;
		clearTimeout(this.#silenceTimer);
		clearTimeout(this.#retryTimer);
		if (socket) {
			socket.onopen = socket.onmessage = socket.onclose = null;
			socket.close();
		}
		const calls = [...this.#calls.values()];
		this.#calls.clear();
		for (const call of calls) {
			clearTimeout(call.timer);
			call.onError(CONNECTION_LOST);
		}
		for (const sub of this.#subscriptions.values()) {
			clearTimeout(sub.timer);
			if (sub.state === "subscribed")
				this.#setSubscription(sub, "subscribing");
		}
	}

	// Anything that arrives is a sign of life. A connection that is silent for longer than the ping interval is
	// dead, though the operating system may not know for a long time.
	#expectPing() {
		if (this.#pingIntervalMs === 0)
			return;
		clearTimeout(this.#silenceTimer);
		this.#silenceTimer = setTimeout(() => this.#lost(0, "no ping"), this.#pingIntervalMs + PING_GRACE_MS);
	}

	// ---- What arrives ----

	#receive(text) {
		const socket = this.#socket;
		let replies;
		try {
			replies = text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
		} catch {
			this.#drop();
			this.#setState("disconnected", { code: 2, reason: "bad protocol" });
			return;
		}
		this.#expectPing();
		for (const reply of replies)
			if (this.#socket === socket)   // the one before may have ended the connection
				this.#handle(reply);
	}

	#handle(reply) {
		if (reply.id)
			this.#finish(reply);
		else if (reply.push)
			this.#pushed(reply.push);
		else if (this.#pongs)
			this.#socket.send("{}");
	}

	#pushed(push) {
		const sub = this.#subscriptions.get(push.channel);
		if (!sub || sub.state !== "subscribed")
			return;
		if (push.pub)
			this.#publication(sub, push.pub);
		else if (push.unsubscribe)
			this.#unsubscribed(sub, push.unsubscribe);
	}

	#publication(sub, publication) {
		if (publication.offset)
			sub.offset = publication.offset;
		if (publication.epoch)
			sub.epoch = publication.epoch;
		this.#events.onPublication(sub.channel, publication);
	}

	// ---- Commands ----

	// Every command gets exactly one of onResult and onError. They are callbacks, not promises, because what follows
	// in the same frame must already see their effect: publications come right behind the subscribe reply.
	#call(request, onResult, onError, batch = null) {
		const id = ++this.#lastId;
		const line = JSON.stringify({ id, ...request });
		const timer = setTimeout(() => {
			this.#calls.delete(id);
			onError(TIMEOUT);
		}, COMMAND_TIMEOUT_MS);
		this.#calls.set(id, { onResult, onError, timer, name: Object.keys(request)[0] });
		if (batch)
			batch.push(line);
		else
			this.#socket.send(line);
	}

	#finish(reply) {
		const call = this.#calls.get(reply.id);
		if (!call)
			return;
		this.#calls.delete(reply.id);
		clearTimeout(call.timer);
		if (reply.error)
			call.onError(reply.error);
		else
			call.onResult(reply[call.name]);
	}

	#isOpen() {
		return this.#socket !== null && this.#socket.readyState === 1;
	}

	// ---- Subscriptions ----

	// On channels with history the broker tells a position; naming it after a break gets what was missed.
	#sendSubscribe(sub, batch = null) {
		const request = { channel: sub.channel };
		if (sub.recoverable)
			Object.assign(request, { recover: true, epoch: sub.epoch, offset: sub.offset });
		const onResult = (result) => this.#isCurrent(sub) && this.#subscribed(sub, result);
		const onError = (error) => this.#isCurrent(sub) && this.#subscribeFailed(sub, error);
		this.#call({ subscribe: request }, onResult, onError, batch);
	}

	// Who unsubscribes and subscribes again within a round trip still gets the answer to the first attempt.
	#isCurrent(sub) {
		return this.#subscriptions.get(sub.channel) === sub;
	}

	#subscribed(sub, result) {
		sub.attempts = 0;
		sub.recoverable = result.recoverable === true;
		sub.epoch = result.epoch ?? "";
		sub.offset = result.offset ?? 0;
		const lossless = !result.was_recovering || result.recovered === true;
		this.#setSubscription(sub, "subscribed", { lossless });
		for (const publication of result.publications ?? [])
			this.#publication(sub, publication);
	}

	#subscribeFailed(sub, error) {
		if (error === CONNECTION_LOST)
			return;   // the next connection subscribes again
		if (error === TIMEOUT)
			this.#lost(0, "subscribe timeout");
		else if (error.temporary)
			this.#resubscribe(sub, backoffMs(sub.attempts++, this.#random));
		else
			this.#setSubscription(sub, "unsubscribed", { code: error.code, reason: error.message });
	}

	// The broker ended it: below 2500 for good, from 2500 on it wants us to subscribe anew.
	#unsubscribed(sub, { code, reason }) {
		if (code < 2500) {
			this.#setSubscription(sub, "unsubscribed", { code, reason });
		} else {
			this.#setSubscription(sub, "subscribing", { code, reason });
			this.#resubscribe(sub, 0);
		}
	}

	#resubscribe(sub, delayMs) {
		sub.timer = setTimeout(() => this.#isOpen() && this.#sendSubscribe(sub), delayMs);
	}

	#setSubscription(sub, state, info = {}) {
		sub.state = state;
		this.#events.onSubscription(sub.channel, state, info);
	}

	#setState(state, info = {}) {
		this.#state = state;
		this.#events.onState(state, info);
	}
}
