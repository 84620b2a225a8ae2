/* For what a header gives to several test programs, and not every one of them takes. */
#pragma once

#define UNUSED_OK __attribute__((unused))
