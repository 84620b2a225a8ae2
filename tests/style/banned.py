"""Gate: functions that are easy to get wrong are not called, nor what the house style writes in another way."""
import re

from sources import PRODUCT, c_files, code_only, report, text

BANNED = [
    (r"strcpy|strcat|stpcpy|strncpy|strncat", "use buf, mem_strdup() or snprintf()"),
    (r"sprintf|vsprintf", "use snprintf()"),
    (r"gets", "knows no limit"),
    (r"strtok", "has hidden state"),
    (r"alloca", "the stack has no ceiling"),
    (r"tmpnam|tempnam|mktemp", "a race: use mkstemp() or mkdtemp()"),
    (r"system|popen", "no shell: fork and exec with an argument vector"),
    (r"gethostbyname|gmtime|localtime|ctime|asctime|inet_ntoa", "has hidden state: use the form with a buffer"),
    (r"setjmp|longjmp|sigsetjmp|siglongjmp", "skips the undoing"),
]
IN_THE_LOOP = (r"sleep|usleep|nanosleep", "the loop never blocks: use a timer")
# What follows is for the product. Tests want rand() predictable, and parse only what they wrote themselves.
PREDICTABLE = (r"rand|srand|random|srandom|drand48", "predictable: use arc4random()")
LAX_PARSING = (r"scanf|sscanf|fscanf|atoi|atol|atoll|atof", "cannot tell an error from 0, or has no limits: parse by hand")
FORMATTED_COMMAND = (r"redisCommand|redisAppendCommand|redisvCommand|redisvAppendCommand|redisFormatCommand"
                     r"|redisvFormatCommand|redisAsync\w+", "commands for Redis are argument vectors, never format strings")
OWN_ALLOCATOR = (r"malloc|calloc|realloc|strdup|strndup|free", "use mem_alloc() and its kin (common/mem.h)")
TYPEDEF_STRUCT = re.compile(r"\btypedef\s+(struct|enum|union)\b")


def rules_for(path):
    yield from BANNED
    if path.parts[0] == "worker":
        yield IN_THE_LOOP
    if path.parts[0] in PRODUCT:
        yield PREDICTABLE
        yield LAX_PARSING
        yield FORMATTED_COMMAND
        if path.name != "mem.c":
            yield OWN_ALLOCATOR


def findings_in(path):
    rules = [(re.compile(rf"(?<![\w.>])({names})\s*\("), why) for names, why in rules_for(path)]
    for number, line in enumerate(code_only(text(path)).splitlines(), 1):
        for pattern, why in rules:
            for call in pattern.finditer(line):
                yield f"{path}:{number}: {call.group(1)}(): {why}"
        if TYPEDEF_STRUCT.search(line):
            yield f"{path}:{number}: typedef hides that it is a struct: write struct x"


report([finding for path in c_files() for finding in findings_in(path)],
       "Each of these has a better way, named beside it.")
