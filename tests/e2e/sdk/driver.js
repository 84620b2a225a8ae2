// Drives centrifuge-js by commands, and tells what happens as events; the same in Node.js and in a browser.
// sdk_driver(Centrifuge, options, emit) gives a function that takes a command {id, do, ...}; its outcome is the event
// {event: "done" | "failed", id, ...}. The SDK itself is used as any application would.
function sdk_driver(Centrifuge, {url, options}, emit) {
	const client = new Centrifuge(url, options);
	for (const event of ["connecting", "connected", "disconnected"])
		client.on(event, (context) => emit({event, code: context.code, reason: context.reason}));
	client.on("error", (context) => emit({event: "error", message: String(context.error && context.error.message)}));

	const subscription_options = {minResubscribeDelay: 50, maxResubscribeDelay: 500};
	function subscribe({channel}) {
		const subscription = client.getSubscription(channel) || client.newSubscription(channel, subscription_options);
		if (subscription.listeners("publication").length === 0) {
			for (const event of ["subscribing", "unsubscribed"])
				subscription.on(event, (context) => emit({event, channel, code: context.code}));
			subscription.on("subscribed", ({recovered, wasRecovering, streamPosition}) =>
				emit({event: "subscribed", channel, recovered, was_recovering: wasRecovering, ...streamPosition}));
			subscription.on("publication", ({data, offset}) => emit({event: "publication", channel, data, offset}));
			for (const event of ["join", "leave"])
				subscription.on(event, ({info}) => emit({event, channel, client: info.client, user: info.user}));
		}
		subscription.subscribe();
	}

	const commands = {
		connect: () => client.connect(),
		disconnect: () => client.disconnect(),
		subscribe,
		unsubscribe: ({channel}) => client.getSubscription(channel).unsubscribe(),
		publish: ({channel, data}) => client.publish(channel, data),
		rpc: ({method, data}) => client.rpc(method, data),
		history: ({channel}) => client.history(channel, {limit: 1}),
		presence: async ({channel}) => Object.keys((await client.presence(channel)).clients),
		presence_stats: async ({channel}) => {
			const {numClients, numUsers} = await client.presenceStats(channel);
			return [numClients, numUsers];
		},
	};

	return async (command) => {
		try {
			const result = await commands[command.do](command);
			const told = Array.isArray(result) ? {result} : {};
			emit({event: "done", id: command.id, ...told});
		} catch (error) {
			emit({event: "failed", id: command.id, code: error.code, message: error.message});
		}
	};
}

if (typeof module !== "undefined")
	module.exports = {sdk_driver};
