/* Who may do what on a channel (client protocol 18): names and options in, an error or none out. Pure. */
#pragma once

#include <stdbool.h>

#include "bytes.h"
#include "codes.h"
#include "compiler.h"
#include "config.h"

/* The options of the channel; ERROR_UNKNOWN_CHANNEL when its namespace is not configured, ERROR_BAD_REQUEST
 * when the name is too long or not ASCII. */
enum error_code permit_channel(const struct config *config, struct bytes channel,
                               const struct channel_options **options) MUST_CHECK;
/* Whether the user (empty: anonymous) may subscribe by himself, that is without a token. */
enum error_code permit_subscribe(const struct channel_options *options, struct bytes channel,
                                 struct bytes user) MUST_CHECK;
enum error_code permit_publish(const struct channel_options *options, struct bytes user,
                               bool subscribed) MUST_CHECK;
enum error_code permit_history(const struct channel_options *options, struct bytes user,
                               bool subscribed) MUST_CHECK;
enum error_code permit_presence(const struct channel_options *options, struct bytes user,
                                bool subscribed) MUST_CHECK;
/* Whether a payload may be published there: ERROR_BAD_REQUEST when it is absent or of the wrong kind. The
 * data is valid JSON without white space around it. */
enum error_code permit_data(const struct channel_options *options, struct bytes data) MUST_CHECK;
