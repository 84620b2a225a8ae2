#include "yaml_text.h"

static unsigned line_at(struct bytes text, size_t offset)
{
	unsigned line = 1;

	for (size_t i = 0; i < offset && i < text.len; i++)
		line += text.ptr[i] == '\n';
	return line;
}

/* What the parser misses at the end it misses in the line behind the last. */
static unsigned line_of(struct bytes text, yaml_mark_t mark)
{
	unsigned last = line_at(text, text.len);

	return mark.line < last ? (unsigned)mark.line + 1 : last;
}

static void explain(const yaml_parser_t *parser, struct bytes text, unsigned *line, struct buf *why)
{
	/* Of bad encoding the parser tells the offset only. */
	*line = parser->error == YAML_READER_ERROR ? line_at(text, parser->problem_offset)
	                                           : line_of(text, parser->problem_mark);
	buf_putf(why, "not valid YAML: %s", parser->problem != NULL ? parser->problem : "no memory");
	if (parser->context != NULL)
		buf_putf(why, ", %s", parser->context);
}

struct watch {
	unsigned depth;
	unsigned documents;
};

/* NULL while nothing is wrong with the event. */
static const char *watch_node(const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL)
		return "anchors (&) are not allowed";
	if (tag != NULL)
		return "tags (!) are not allowed";
	return NULL;
}

static const char *watch_start(struct watch *watch, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (++watch->depth > YAML_DEPTH_MAX)
		return "nested too deeply";
	return watch_node(anchor, tag);
}

static const char *watch_event(struct watch *watch, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT: return "aliases (*) are not allowed";
	case YAML_DOCUMENT_START_EVENT:
		return ++watch->documents > 1 ? "a second document (---) is not allowed" : NULL;
	case YAML_SCALAR_EVENT: return watch_node(event->data.scalar.anchor, event->data.scalar.tag);
	case YAML_SEQUENCE_START_EVENT:
		return watch_start(watch, event->data.sequence_start.anchor, event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return watch_start(watch, event->data.mapping_start.anchor, event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: watch->depth--; return NULL;
	default: return NULL;
	}
}

static bool watch_next(yaml_parser_t *parser, struct watch *watch, struct bytes text, bool *ended,
                       unsigned *line, struct buf *why)
{
	yaml_event_t event;
	const char *refused;

	if (!yaml_parser_parse(parser, &event)) {
		explain(parser, text, line, why);
		return false;
	}
	*ended = event.type == YAML_STREAM_END_EVENT;
	*line = (unsigned)event.start_mark.line + 1;
	refused = watch_event(watch, &event);
	yaml_event_delete(&event);
	if (refused != NULL)
		buf_puts(why, refused);
	return refused == NULL;
}

static void start(yaml_parser_t *parser, struct bytes text)
{
	yaml_parser_set_input_string(parser, (const unsigned char *)text.ptr, text.len);
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
}

/* The tree no longer tells an alias from the node itself, so the events are looked at first. */
static bool is_plain(struct bytes text, unsigned *line, struct buf *why)
{
	struct watch watch = {0};
	yaml_parser_t parser;
	bool ended = false, good = true;

	if (!yaml_parser_initialize(&parser)) {
		buf_puts(why, "no memory");
		return false;
	}
	start(&parser, text);
	while (good && !ended)
		good = watch_next(&parser, &watch, text, &ended, line, why);
	yaml_parser_delete(&parser);
	return good;
}

static bool load(struct bytes text, yaml_document_t *out, unsigned *line, struct buf *why)
{
	yaml_parser_t parser;
	bool good;

	if (!yaml_parser_initialize(&parser)) {
		buf_puts(why, "no memory");
		return false;
	}
	start(&parser, text);
	good = yaml_parser_load(&parser, out);
	if (!good)
		explain(&parser, text, line, why);
	yaml_parser_delete(&parser);
	return good;
}

bool yaml_text_load(struct bytes text, yaml_document_t *out, unsigned *line, struct buf *why)
{
	*line = 0;
	if (text.len > YAML_TEXT_MAX) {
		buf_putf(why, "longer than %d bytes", YAML_TEXT_MAX);
		return false;
	}
	return is_plain(text, line, why) && load(text, out, line, why);
}
