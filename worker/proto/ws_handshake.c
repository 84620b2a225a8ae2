/* The rules of RFC 6455: 4.2.1 for what a client must send, 4.2.2 for the answer. Origin is origin.h's. */
#include "ws_handshake.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "ascii.h"

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool ws_handshake_wanted(const struct http1_request *req)
{
	return http1_header_has_token(req, "Upgrade", "websocket");
}

static bool is_base64_char(char c)
{
	return ascii_is_letter(c) || ascii_is_digit(c) || c == '+' || c == '/';
}

/* Base64 of 16 bytes: 22 characters and two of padding. */
static bool key_valid(struct bytes key)
{
	if (key.len != WS_KEY_LEN || memcmp(key.ptr + WS_KEY_LEN - 2, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < WS_KEY_LEN - 2; i++) {
		if (!is_base64_char(key.ptr[i]))
			return false;
	}
	return true;
}

/* A header that may stand only once, and must (4.1: 7 and 9). */
static const struct bytes *only_header(const struct http1_request *req, const char *name)
{
	return http1_header_count(req, name) == 1 ? http1_header(req, name) : NULL;
}

static int refuse(int status, const char *why, const char **error)
{
	*error = why;
	return status;
}

static int check_version_and_key(const struct http1_request *req, const char **error)
{
	const struct bytes *version = only_header(req, "Sec-WebSocket-Version");
	const struct bytes *key = only_header(req, "Sec-WebSocket-Key");

	if (version == NULL)
		return refuse(400, "not exactly one Sec-WebSocket-Version header", error);
	if (!bytes_eq(*version, BYTES("13")))
		return refuse(426, "only version 13 of the WebSocket protocol is spoken here", error);
	if (key == NULL)
		return refuse(400, "not exactly one Sec-WebSocket-Key header", error);
	if (!key_valid(*key))
		return refuse(400, "bad Sec-WebSocket-Key", error);
	return 0;
}

int ws_handshake_check(const struct http1_request *req, const char **error)
{
	if (!bytes_eq(req->method, BYTES("GET")))
		return refuse(405, "a WebSocket opens with GET", error);
	if (!ws_handshake_wanted(req))
		return refuse(426, "this is a WebSocket endpoint", error);
	if (req->http_1_0)
		return refuse(400, "a WebSocket needs HTTP/1.1", error);
	if (!http1_header_has_token(req, "Connection", "upgrade"))
		return refuse(400, "Connection header without upgrade", error);
	if (req->content_length > 0 || req->chunked)
		return refuse(400, "upgrade with a body", error);
	return check_version_and_key(req, error);
}

/* Looked up once: that takes longer than the digest itself, and SHA1() does it each time: 4,800 of
 * the 43,000 instructions from accept to subscribed. */
static const EVP_MD *sha1(void)
{
	static EVP_MD *md;

	if (md == NULL)
		md = EVP_MD_fetch(NULL, "SHA1", NULL);
	return md != NULL ? md : EVP_sha1();
}

void ws_handshake_accept(struct bytes key, char accept[WS_ACCEPT_LEN])
{
	unsigned char text[WS_KEY_LEN + sizeof(guid) - 1];
	unsigned char digest[SHA_DIGEST_LENGTH] = {0};
	unsigned char encoded[WS_ACCEPT_LEN + 1];
	size_t key_len = key.len < WS_KEY_LEN ? key.len : WS_KEY_LEN;

	memcpy(text, key.ptr, key_len);
	memcpy(text + key_len, guid, sizeof(guid) - 1);
	/* Should that ever fail, the client finds the answer wrong, and goes. */
	EVP_Digest(text, key_len + sizeof(guid) - 1, digest, NULL, sha1(), NULL);
	EVP_EncodeBlock(encoded, digest, sizeof(digest));
	memcpy(accept, encoded, WS_ACCEPT_LEN);
}

static const char *find_known(struct bytes offered, const char *const *known)
{
	for (; *known != NULL; known++) {
		if (bytes_eq(offered, BYTES_OF_STR(*known)))
			return *known;
	}
	return NULL;
}

/* The offer may be spread over several headers (11.3.4). */
const char *ws_handshake_subprotocol(const struct http1_request *req, const char *const *known)
{
	const char *found = NULL;

	for (size_t i = 0; i < req->header_count && found == NULL; i++) {
		struct bytes offers = req->headers[i].value;
		struct bytes offer;

		if (!http1_header_is(&req->headers[i], "Sec-WebSocket-Protocol"))
			continue;
		while (found == NULL && http1_next_element(&offers, &offer))
			found = find_known(offer, known);
	}
	return found;
}

void ws_handshake_response(struct buf *out, const struct http1_request *req, const char *subprotocol,
                           const struct deflate_agreed *deflate)
{
	const struct bytes *key = http1_header(req, "Sec-WebSocket-Key");
	char accept[WS_ACCEPT_LEN];

	ws_handshake_accept(key != NULL ? *key : BYTES(""), accept);
	buf_puts(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	              "Sec-WebSocket-Accept: ");
	buf_put(out, accept, sizeof(accept));
	buf_puts(out, "\r\n");
	if (subprotocol != NULL)
		buf_putf(out, "Sec-WebSocket-Protocol: %s\r\n", subprotocol);
	if (deflate != NULL)
		deflate_put_response(out, deflate);
	buf_puts(out, "\r\n");
}
