"""Rights of users of Redis (ACL), each of which is left out in turn to see that it is needed."""

from . import process


def give(nodes, user, rights):
	for node in nodes:
		node.call("ACL", "SETUSER", user, "reset", "on", ">PASSWORD", *rights)
		node.call("ACL", "LOG", "RESET")


def refused(nodes, user):
	"""What the user was refused since: [(reason, object)], "command" and its name, "key" or "channel" and the name of one."""
	entries = [dict(zip(entry[::2], entry[1::2])) for node in nodes for entry in node.call("ACL", "LOG")]
	return [(entry[b"reason"].decode(), entry[b"object"].decode().lower()) for entry in entries if entry[b"username"] == user.encode()]


def is_missed(nodes, user, right):
	reasons = {"+": "command", "~": "key", "&": "channel"}
	return any(reason == reasons[right[0]] and (reason != "command" or name == right[1:]) for reason, name in refused(nodes, user))


def expect_each_is_needed(nodes, user, rights, act, beside=()):
	"""act() does a part of all that the user ever does, whatever comes of it, another one each time. The user has the rights beside, too."""
	for right in rights:
		give(nodes, user, [*beside, *(other for other in rights if other != right)])
		process.wait_until(lambda: act() or is_missed(nodes, user, right), f"{user} is refused what needs {right}", 30)
	give(nodes, user, [*beside, *rights])
