"""What README says, for tests that do it."""

import os
import re
import shlex

FILE = os.path.join(os.path.dirname(__file__), "..", "..", "..", "README.md")


def section(title):
	"""The text under the title of a third level."""
	with open(FILE) as f:
		return f.read().split(f"### {title}\n")[1].split("\n###")[0].split("\n## ")[0]


def users():
	"""The words behind ACL SETUSER, for each user of Redis."""
	commands = re.findall(r"^    redis-cli (ACL SETUSER (?:[^\\\n]|\\\n)*)", section("Users of Redis"), re.MULTILINE)
	return {words[2]: words for words in (shlex.split(command.replace("\\\n", " ")) for command in commands)}


def more_rights():
	"""What users need beyond that: {"history": rights of the backend, "scripts" and "functions": what the broker needs instead of
	the other, "presence": rights of the broker, "cluster": the same, "backend": its own in a cluster}."""
	text = section("Users of Redis").split("A backend that calls")[1]
	history, scripts, functions, presence, cluster, *backend = map(shlex.split, re.findall(r"`('?\+[^`]*)`", text))
	return {
		"history": history, "scripts": scripts, "functions": functions, "presence": presence, "cluster": cluster,
		"backend": [right for rights in backend for right in rights]}
