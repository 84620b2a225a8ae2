#include "proxy_header.h"

#include <string.h>

#include "ascii.h"
#include "units.h"

enum {
	FIXED_LEN = 16, /* of version 2: signature, command, family, length of the rest */
	FAMILY_UNSPEC = 0x00,
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
	FAMILY_UNIX = 0x31,
	ADDRESSES_TCP4 = 2 * IP4_LEN + 4,
	ADDRESSES_TCP6 = 2 * IP_LEN + 4,
	ADDRESSES_UNIX = 2 * 108,
	TLV_CRC32C = 0x03,
	CRC_LEN = 4,
	PORT_MAX = 65535,
};

static const struct bytes line_begin = {"PROXY ", 6};
static const struct bytes signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

static enum proxy_result bad(struct proxy_header *h, const char *error)
{
	h->error = error;
	return PROXY_BAD;
}

/* Whether the data are the beginning of something that begins so. */
static bool may_begin_with(struct bytes data, struct bytes begin)
{
	size_t len = data.len < begin.len ? data.len : begin.len;

	return memcmp(data.ptr, begin.ptr, len) == 0;
}

/* --- version 1 --- */

/* Takes what stands before the next blank; false when there is none. */
static bool next_word(struct bytes *line, struct bytes *word)
{
	const char *blank = line->len > 0 ? memchr(line->ptr, ' ', line->len) : NULL;

	if (blank == NULL)
		return false;
	*word = (struct bytes){line->ptr, (size_t)(blank - line->ptr)};
	*line = bytes_skip(*line, word->len + 1);
	return true;
}

static bool parse_ip(struct bytes text, bool six, struct ip *ip)
{
	bool written_as_six = text.len > 0 && memchr(text.ptr, ':', text.len) != NULL;

	return written_as_six == six && ip_parse(text, ip);
}

static bool parse_port(struct bytes text, uint16_t *port)
{
	uint64_t n;

	if ((text.len > 1 && text.ptr[0] == '0') || text.len > 5 || !units_parse_number(text, &n) ||
	    n > PORT_MAX)
		return false;
	*port = (uint16_t)n;
	return true;
}

/* "192.0.2.1 192.0.2.2 40000 443". */
static enum proxy_result parse_addresses(struct proxy_header *h, struct bytes rest, bool six)
{
	struct bytes source, destination, source_port;
	struct ip ip;
	uint16_t port;

	if (!next_word(&rest, &source) || !next_word(&rest, &destination) || !next_word(&rest, &source_port))
		return bad(h, "line is too short");
	if (!parse_ip(source, six, &h->source) || !parse_ip(destination, six, &ip))
		return bad(h, "bad address");
	if (!parse_port(source_port, &h->source_port) || !parse_port(rest, &port))
		return bad(h, "bad port");
	return PROXY_COMPLETE;
}

static enum proxy_result parse_line(struct proxy_header *h, struct bytes line)
{
	struct bytes rest = bytes_skip(line, line_begin.len);

	if (bytes_start_with(rest, BYTES("TCP4 ")))
		return parse_addresses(h, bytes_skip(rest, 5), false);
	if (bytes_start_with(rest, BYTES("TCP6 ")))
		return parse_addresses(h, bytes_skip(rest, 5), true);
	/* What follows it is to be ignored. */
	if (!bytes_eq(rest, BYTES("UNKNOWN")) && !bytes_start_with(rest, BYTES("UNKNOWN ")))
		return bad(h, "unknown kind of connection");
	h->local = true;
	return PROXY_COMPLETE;
}

static enum proxy_result parse_v1(struct bytes data, struct proxy_header *h)
{
	struct bytes seen = bytes_first(data, PROXY_LINE_MAX);
	const char *end;

	if (!may_begin_with(data, line_begin))
		return bad(h, "is none");
	end = memchr(seen.ptr, '\n', seen.len);
	h->len = end != NULL ? (size_t)(end - seen.ptr) + 1 : seen.len;
	if (end == NULL)
		return seen.len < PROXY_LINE_MAX ? PROXY_PARTIAL : bad(h, "line is too long");
	if (h->len <= line_begin.len || end[-1] != '\r')
		return bad(h, "line ends without CR");
	return parse_line(h, (struct bytes){seen.ptr, h->len - 2});
}

/* --- version 2 --- */

/* Castagnoli's polynomial, reflected (RFC 3720, B.4), bit by bit: headers with a checksum are few. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
	while (len-- > 0) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

/* Over the whole header, with zeros in place of the checksum itself (2.2.5). */
static bool checksum_is_right(struct bytes header, const uint8_t *checksum)
{
	static const uint8_t zeros[CRC_LEN];
	const uint8_t *begin = (const uint8_t *)header.ptr;
	const uint8_t *after = checksum + CRC_LEN;
	uint32_t expected = (uint32_t)checksum[0] << 24 | (uint32_t)checksum[1] << 16 |
	                    (uint32_t)checksum[2] << 8 | checksum[3];
	uint32_t crc = crc32c(UINT32_MAX, begin, (size_t)(checksum - begin));

	crc = crc32c(crc, zeros, CRC_LEN);
	return ~crc32c(crc, after, header.len - (size_t)(after - begin)) == expected;
}

/* Type, length in two bytes, value. */
static const char *check_extensions(struct bytes header, size_t at)
{
	const uint8_t *p = (const uint8_t *)header.ptr;

	while (at < header.len) {
		size_t len;

		if (header.len - at < 3)
			return "extension is cut off";
		len = (size_t)p[at + 1] << 8 | p[at + 2];
		if (header.len - at - 3 < len)
			return "extension is longer than the header";
		if (p[at] == TLV_CRC32C && (len != CRC_LEN || !checksum_is_right(header, p + at + 3)))
			return "checksum is wrong";
		at += 3 + len;
	}
	return NULL;
}

static size_t addresses_len(uint8_t family)
{
	switch (family) {
	case FAMILY_UNSPEC: return 0;
	case FAMILY_TCP4: return ADDRESSES_TCP4;
	case FAMILY_TCP6: return ADDRESSES_TCP6;
	case FAMILY_UNIX: return ADDRESSES_UNIX;
	default: return SIZE_MAX;
	}
}

/* Source address, destination address, source port, destination port. */
static void read_addresses(struct proxy_header *h, uint8_t family, const uint8_t *p)
{
	size_t ip_len = family == FAMILY_TCP4 ? IP4_LEN : IP_LEN;

	h->local = family != FAMILY_TCP4 && family != FAMILY_TCP6;
	if (h->local)
		return;
	if (family == FAMILY_TCP4)
		ip_from_4(p, &h->source);
	else
		memcpy(h->source.bytes, p, IP_LEN);
	h->source_port = (uint16_t)(p[2 * ip_len] << 8 | p[2 * ip_len + 1]);
}

static enum proxy_result parse_proxy_command(struct proxy_header *h, struct bytes header, uint8_t family)
{
	size_t len = addresses_len(family);
	const char *error;

	if (len == SIZE_MAX)
		return bad(h, "unknown kind of connection");
	if (header.len - FIXED_LEN < len)
		return bad(h, "too short for its addresses");
	read_addresses(h, family, (const uint8_t *)header.ptr + FIXED_LEN);
	error = check_extensions(header, FIXED_LEN + len);
	return error != NULL ? bad(h, error) : PROXY_COMPLETE;
}

static enum proxy_result parse_v2(struct bytes data, struct proxy_header *h)
{
	const uint8_t *p = (const uint8_t *)data.ptr;
	size_t len;

	if (!may_begin_with(data, signature))
		return bad(h, "is none");
	h->len = data.len < FIXED_LEN ? data.len : FIXED_LEN;
	if (data.len > 12 && p[12] != 0x20 && p[12] != 0x21)
		return bad(h, "unknown version or command");
	if (data.len < FIXED_LEN)
		return PROXY_PARTIAL;
	len = FIXED_LEN + ((size_t)p[14] << 8 | p[15]);
	if (len > PROXY_HEADER_MAX)
		return bad(h, "too long");
	h->len = data.len < len ? data.len : len;
	if (data.len < len)
		return PROXY_PARTIAL;
	/* LOCAL: the rest is to be ignored, whatever it says. */
	h->local = p[12] == 0x20;
	if (h->local)
		return PROXY_COMPLETE;
	return parse_proxy_command(h, bytes_first(data, len), p[13]);
}

enum proxy_result proxy_header_parse(struct bytes data, struct proxy_header *header)
{
	*header = (struct proxy_header){0};
	if (data.len == 0)
		return PROXY_PARTIAL;
	return data.ptr[0] == line_begin.ptr[0] ? parse_v1(data, header) : parse_v2(data, header);
}
