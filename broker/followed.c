#include "followed.h"

#include <inttypes.h>
#include <string.h>

#include "json_find.h"
#include "json_writer.h"
#include "mem.h"

enum { EPOCH_MAX = 1024 };

static void take_epoch(struct followed *f, struct json_value from)
{
	struct buf text;
	const char *epoch;

	buf_init(&text, EPOCH_MAX);
	epoch = json_find_text(from, "epoch", &text);
	if (epoch[0] != '\0') {
		mem_free(f->epoch);
		f->epoch = mem_strdup(epoch);
	}
	buf_free(&text);
}

void followed_free(struct followed *f)
{
	mem_free(f->epoch);
	f->epoch = NULL;
}

void followed_put_request(const struct followed *f, struct buf *out)
{
	buf_puts(out, "{\"channel\":");
	json_put_string(out, BYTES_OF_STR(f->channel));
	buf_puts(out, ",\"recoverable\":true");
	if (f->recoverable) {
		buf_putf(out, ",\"recover\":true,\"offset\":%" PRIu64 ",\"epoch\":", f->offset);
		json_put_string(out, BYTES_OF_STR(f->epoch != NULL ? f->epoch : ""));
	}
	buf_putc(out, '}');
}

bool followed_take_answer(struct followed *f, struct json_value answer)
{
	bool is_lossy = (f->recoverable || f->is_cut) && !json_find_true(answer, "recovered");

	f->is_cut = false;
	f->recoverable = json_find_true(answer, "recoverable");
	f->offset = json_find_uint(answer, "offset");
	followed_free(f);
	take_epoch(f, answer);
	return is_lossy;
}

void followed_take_publication(struct followed *f, struct json_value publication)
{
	uint64_t offset = json_find_uint(publication, "offset");

	if (offset != 0)
		f->offset = offset;
	take_epoch(f, publication);
}
