#include "sim_wire.h"

#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { IN_FIRST = 4096, IN_MAX = 4 << 20 };

void sim_wire_init(struct sim_wire *w, const struct sim_wire_events *events, void *owner, const char *who)
{
	*w = (struct sim_wire){.events = events, .owner = owner, .who = who};
	w->out = sim_alloc_bytes(SIM_MESSAGE_MAX * 2);
}

void sim_wire_open(struct sim_wire *w, struct sim_link *link)
{
	w->link = link;
	w->upgraded = false;
	w->in_len = w->out_len = 0;
}

/* --- out --- */

void sim_wire_send_frame(struct sim_wire *w, unsigned first_byte, const char *data, size_t len)
{
	static char frame[SIM_MESSAGE_MAX + 14];
	unsigned char mask[4];
	size_t at = 2;
	uint32_t random = (uint32_t)sim_random();

	memcpy(mask, &random, sizeof(mask));
	frame[0] = (char)first_byte;
	if (len < 126) {
		frame[1] = (char)(0x80 | len);
	} else if (len < 65536) {
		frame[1] = (char)(0x80 | 126);
		frame[at++] = (char)(len >> 8);
		frame[at++] = (char)len;
	} else {
		frame[1] = (char)(0x80 | 127);
		for (int i = 7; i >= 0; i--)
			frame[at++] = (char)((uint64_t)len >> 8 * i);
	}
	memcpy(frame + at, mask, sizeof(mask));
	at += sizeof(mask);
	for (size_t i = 0; i < len; i++)
		frame[at + i] = (char)(data[i] ^ mask[i % 4]);
	sim_link_send(w->link, frame, at + len);
}

void sim_wire_send_message(struct sim_wire *w, const char *data, size_t len)
{
	unsigned opcode = 1;

	while (len > 1 && sim_chance(1500)) {
		size_t piece = sim_below((uint32_t)len);

		sim_wire_send_frame(w, opcode, data, piece);
		opcode = 0;
		data += piece;
		len -= piece;
		if (sim_chance(2000))
			sim_wire_send_frame(w, 0x8a, "unasked", 7);
	}
	sim_wire_send_frame(w, 0x80 | opcode, data, len);
}

void sim_wire_begin_line(struct sim_wire *w)
{
	if (w->out_len > 0)
		w->out[w->out_len++] = '\n';
}

void sim_wire_put(struct sim_wire *w, const char *text, size_t len)
{
	memcpy(w->out + w->out_len, text, len);
	w->out_len += len;
}

void sim_wire_flush(struct sim_wire *w)
{
	if (w->out_len > 0)
		sim_wire_send_message(w, w->out, w->out_len);
	w->out_len = 0;
}

/* --- in --- */

/* Takes one frame; its bytes, or 0 when it is not all there. */
static size_t take_frame(struct sim_wire *w, const unsigned char *in, size_t len)
{
	size_t head = 2, payload;

	if (len < 2)
		return 0;
	SIM_CHECK((in[1] & 0x80) == 0, "%s: a masked frame", w->who);
	payload = in[1];
	if (payload >= 126) {
		size_t width = payload == 126 ? 2 : 8;

		if (len < head + width)
			return 0;
		payload = 0;
		for (size_t i = 0; i < width; i++)
			payload = payload << 8 | in[head + i];
		SIM_CHECK(payload > (width == 2 ? 125 : 65535) && payload < IN_MAX,
		          "%s: a frame of %zu bytes", w->who, payload);
		head += width;
	}
	if (len - head < payload)
		return 0;
	w->events->on_frame(w->owner, in[0], (const char *)in + head, payload);
	return head + payload;
}

static void take_upgrade(struct sim_wire *w, const char *head, size_t len)
{
	SIM_CHECK(memmem(head, len, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 54) != NULL,
	          "%s: a handshake without the right Sec-WebSocket-Accept", w->who);
	w->upgraded = true;
	w->events->on_upgraded(w->owner);
}

/* Takes one response; its bytes, or 0 when it is not all there. */
static size_t take_response(struct sim_wire *w, const char *in, size_t len)
{
	static const char length_name[] = "\r\nContent-Length: ";
	const char *end = memmem(in, len, "\r\n\r\n", 4);
	const char *length;
	size_t head, body;
	int status;

	SIM_CHECK(memcmp(in, "HTTP/1.1 ", len < 9 ? len : 9) == 0, "%s: no response: %.*s", w->who, (int)len,
	          in);
	if (end == NULL)
		return 0;
	head = (size_t)(end - in) + 4;
	status = (int)strtol(in + 9, NULL, 10);
	if (status == 101) {
		take_upgrade(w, in, head);
		return head;
	}
	length = memmem(in, head, length_name, sizeof(length_name) - 1);
	SIM_CHECK(length != NULL, "%s: a response without a length", w->who);
	body = strtoul(length + sizeof(length_name) - 1, NULL, 10);
	if (len - head < body)
		return 0;
	w->events->on_response(w->owner, status, (struct bytes){in + head, body});
	return head + body;
}

static void make_room(struct sim_wire *w, size_t len)
{
	size_t cap = w->in_cap > 0 ? w->in_cap : IN_FIRST;
	char *in;

	SIM_CHECK(IN_MAX - w->in_len > len, "%s: endless input", w->who);
	while (cap - w->in_len < len)
		cap *= 2;
	if (cap == w->in_cap)
		return;
	in = sim_alloc_bytes(cap);
	if (w->in_len > 0)
		memcpy(in, w->in, w->in_len);
	w->in = in;
	w->in_cap = cap;
}

void sim_wire_take(struct sim_wire *w, const char *data, size_t len)
{
	size_t done = 0, used = 0;

	make_room(w, len);
	memcpy(w->in + w->in_len, data, len);
	w->in_len += len;
	while (done < w->in_len) {
		if (w->upgraded)
			used = take_frame(w, (unsigned char *)w->in + done, w->in_len - done);
		else
			used = take_response(w, w->in + done, w->in_len - done);
		if (used == 0)
			break;
		done += used;
	}
	memmove(w->in, w->in + done, w->in_len - done);
	w->in_len -= done;
}
