"""JSON web tokens, HS256, for tests."""

import base64
import hashlib
import hmac
import json


def _part(data):
	return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims, secret):
	head = _part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
	body = _part(json.dumps(claims).encode())
	digest = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
	return f"{head}.{body}.{_part(digest)}"
