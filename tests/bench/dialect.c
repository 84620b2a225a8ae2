#include "dialect.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "wire.h"

enum { COMMANDS_MAX = 60000, IN_A_FRAME = 1000 };

#define SAY(s, ...) wire_put((s)->text, (s)->size, &(s)->len, __VA_ARGS__)

static void say_bytes(struct saying *s, const void *bytes, size_t len)
{
	if (len > s->size - s->len)
		die("no room for a message");
	memcpy(s->text + s->len, bytes, len);
	s->len += len;
}

static void say_byte(struct saying *s, unsigned byte)
{
	say_bytes(s, &(uint8_t){(uint8_t)byte}, 1);
}

/* --- Fanfare: commands in frames of text; publications go to its Redis --- */

static void fanfare_subscribe(struct saying *s, const unsigned *channels, unsigned count, const char *headers)
{
	char commands[COMMANDS_MAX];
	size_t len = 0;

	wire_put_hello(s->text, s->size, &s->len, "/connection/websocket", headers);
	wire_put(commands, sizeof(commands), &len, "{\"id\":1,\"connect\":{}}");
	for (unsigned i = 0; i < count; i++) {
		wire_put(commands, sizeof(commands), &len,
		         "%s{\"id\":%u,\"subscribe\":{\"channel\":\"c%06u\"}}", len > 0 ? "\n" : "", i + 2,
		         channels[i]);
		if (i % IN_A_FRAME == IN_A_FRAME - 1) {
			wire_put_text(s->text, s->size, &s->len, commands);
			len = 0;
		}
	}
	if (len > 0)
		wire_put_text(s->text, s->size, &s->len, commands);
}

static void say_resp(struct saying *s, const char *word, size_t len)
{
	SAY(s, "$%zu\r\n", len);
	say_bytes(s, word, len);
	SAY(s, "\r\n");
}

/* Data in Fanfare's envelope. */
static void fanfare_publish(struct saying *s, unsigned channel, const char *data, size_t data_len)
{
	static const char head[] = "{\"fanfare\":1,\"data\":";

	SAY(s, "*3\r\n$7\r\nPUBLISH\r\n$15\r\nfanfare:c%06u\r\n$%zu\r\n%s", channel, sizeof(head) + data_len,
	    head);
	say_bytes(s, data, data_len);
	SAY(s, "}\r\n");
}

static void history_publish(struct saying *s, unsigned channel, const char *data, size_t data_len)
{
	SAY(s, "*5\r\n$5\r\nFCALL\r\n$15\r\nfanfare_publish\r\n$1\r\n1\r\n$15\r\nfanfare:c%06u\r\n", channel);
	say_resp(s, data, data_len);
}

/* --- the floors: they hear the commands, and are given the frame ready --- */

static void floor_publish(struct saying *s, unsigned channel, const char *data, size_t data_len)
{
	char head[64];
	size_t head_len = 0;
	uint32_t len;

	wire_put(head, sizeof(head), &head_len,
	         "{\"push\":{\"channel\":\"c%06u\",\"pub\":{\"data\":", channel);
	len = (uint32_t)(head_len + data_len + 3);
	say_bytes(s, &(uint32_t){channel}, 4);
	say_bytes(s, &(uint32_t){len + (len < 126 ? 2 : 4)}, 4);
	say_byte(s, 0x81);
	if (len < 126) {
		say_byte(s, len);
	} else {
		say_byte(s, 126);
		say_byte(s, len >> 8);
		say_byte(s, len & 0xff);
	}
	say_bytes(s, head, head_len);
	say_bytes(s, data, data_len);
	say_bytes(s, "}}}", 3);
}

/* --- NATS: its own protocol over TCP --- */

static void nats_subscribe(struct saying *s, const unsigned *channels, unsigned count, const char *headers)
{
	(void)headers;
	SAY(s, "CONNECT {\"verbose\":false}\r\n");
	for (unsigned i = 0; i < count; i++)
		SAY(s, "SUB c%06u %u\r\n", channels[i], i + 1);
	SAY(s, "PING\r\n");
}

static void nats_publish(struct saying *s, unsigned channel, const char *data, size_t data_len)
{
	SAY(s, "PUB c%06u %zu\r\n", channel, data_len);
	say_bytes(s, data, data_len);
	SAY(s, "\r\n");
}

/* --- mosquitto: MQTT 3.1.1 --- */

static const char mqtt_greeting[] =
	"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"; /* clean session, no name */

static void mqtt_subscribe(struct saying *s, const unsigned *channels, unsigned count, const char *headers)
{
	(void)headers;
	say_bytes(s, mqtt_greeting, sizeof(mqtt_greeting) - 1);
	for (unsigned i = 0; i < count; i++) {
		say_bytes(s, "\x82\x0c\x00\x01\x00\x07", 6);
		SAY(s, "c%06u", channels[i]);
		say_byte(s, 0);
	}
}

static void mqtt_publish(struct saying *s, unsigned channel, const char *data, size_t data_len)
{
	size_t len = 2 + 7 + data_len;

	say_byte(s, 0x30);
	for (; len > 127; len >>= 7)
		say_byte(s, 0x80 | (len & 127));
	say_byte(s, (unsigned)len);
	say_bytes(s, "\x00\x07", 2);
	SAY(s, "c%06u", channel);
	say_bytes(s, data, data_len);
}

/* --- nchan: a path for each channel --- */

static void nchan_subscribe(struct saying *s, const unsigned *channels, unsigned count, const char *headers)
{
	char path[32];

	if (count != 1)
		die("with nchan a client reads one channel");
	snprintf(path, sizeof(path), "/sub/c%06u", channels[0]);
	wire_put_hello(s->text, s->size, &s->len, path, headers);
}

static void nchan_publish(struct saying *s, unsigned channel, const char *data, size_t data_len)
{
	SAY(s, "POST /pub/c%06u HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n", channel, data_len);
	say_bytes(s, data, data_len);
}

#define TEXT(literal) (literal), sizeof(literal) - 1

static const struct dialect dialects[] = {
	{"fanfare", fanfare_subscribe, TEXT("\"subscribe\":{"), false, TEXT(""), fanfare_publish},
	{"history", fanfare_subscribe, TEXT("\"subscribe\":{"), false, TEXT(""), history_publish},
	{"floor", fanfare_subscribe, TEXT("\"subscribe\":{"), false, TEXT(""), floor_publish},
	{"nats", nats_subscribe, TEXT("PONG\r\n"), true, TEXT("CONNECT {\"verbose\":false}\r\n"),
         nats_publish},
	{"mosquitto", mqtt_subscribe, TEXT("\x90\x03\x00\x01\x00"), false, TEXT(mqtt_greeting), mqtt_publish},
	{"nchan", nchan_subscribe, TEXT("101 Switching"), true, TEXT(""), nchan_publish},
};

const struct dialect *dialect_find(const char *name)
{
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
		if (strcmp(name, dialects[i].name) == 0)
			return &dialects[i];
	}
	die("no such dialect");
}
