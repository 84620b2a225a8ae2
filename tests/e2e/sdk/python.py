"""centrifuge-python: a command per line on standard input, an event per line on standard output."""

import asyncio
import json
import sys

import centrifuge


def emit(event, **members):
	print(json.dumps({"event": event} | members), flush=True)


class ClientEvents(centrifuge.ClientEventHandler):
	async def on_connecting(self, ctx):
		emit("connecting", code=ctx.code)

	async def on_connected(self, ctx):
		emit("connected")

	async def on_disconnected(self, ctx):
		emit("disconnected", code=ctx.code, reason=ctx.reason)

	async def on_error(self, ctx):
		emit("error", message=str(ctx.error))


class SubscriptionEvents(centrifuge.SubscriptionEventHandler):
	def __init__(self, channel):
		self.channel = channel

	async def on_subscribing(self, ctx):
		emit("subscribing", channel=self.channel, code=ctx.code)

	async def on_subscribed(self, ctx):
		position = ctx.stream_position
		emit(
			"subscribed", channel=self.channel, recovered=ctx.recovered, was_recovering=ctx.was_recovering,
			offset=position and position.offset, epoch=position and position.epoch)

	async def on_unsubscribed(self, ctx):
		emit("unsubscribed", channel=self.channel, code=ctx.code)

	async def on_publication(self, ctx):
		emit("publication", channel=self.channel, data=ctx.pub.data, offset=ctx.pub.offset)

	async def on_join(self, ctx):
		emit("join", channel=self.channel, client=ctx.info.client, user=ctx.info.user)

	async def on_leave(self, ctx):
		emit("leave", channel=self.channel, client=ctx.info.client, user=ctx.info.user)


class Driver:
	def __init__(self, url):
		self.client = centrifuge.Client(url, events=ClientEvents(), min_reconnect_delay=0.05, max_reconnect_delay=0.5)

	async def connect(self):
		await self.client.connect()

	async def disconnect(self):
		await self.client.disconnect()

	async def subscribe(self, channel):
		subscription = self.client.get_subscription(channel)
		if subscription is None:
			subscription = self.client.new_subscription(
				channel, events=SubscriptionEvents(channel), min_resubscribe_delay=0.05, max_resubscribe_delay=0.5)
		await subscription.subscribe()

	async def unsubscribe(self, channel):
		await self.client.get_subscription(channel).unsubscribe()

	async def publish(self, channel, data):
		await self.client.publish(channel, data)

	async def rpc(self, method, data):
		await self.client.rpc(method, data)

	async def history(self, channel):
		await self.client.history(channel, limit=1)

	async def presence(self, channel):
		return list((await self.client.presence(channel)).clients)

	async def presence_stats(self, channel):
		found = await self.client.presence_stats(channel)
		return [found.num_clients, found.num_users]

	async def run(self, command):
		id, name = command.pop("id"), command.pop("do")
		try:
			result = await getattr(self, name)(**command)
			emit("done", id=id, **({} if result is None else {"result": result}))
		except centrifuge.CentrifugeError as error:
			emit("failed", id=id, code=getattr(error, "code", None), message=str(error))


async def main(url):
	driver = Driver(url)
	reader = asyncio.StreamReader()
	await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
	running = set()
	while line := await reader.readline():
		task = asyncio.create_task(driver.run(json.loads(line)))
		running.add(task)
		task.add_done_callback(running.discard)


asyncio.run(main(sys.argv[1]))
