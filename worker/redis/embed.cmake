# Writes a file into a C source, as an array that redis_library.c declares: cmake -DOUT=x.c -DFILE=x.lua -P embed.cmake
file(READ ${FILE} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "/* Made by embed.cmake. */\n#include \"redis_library.h\"\n\n"
                  "const unsigned char functions_lua[] = {${bytes}};\n"
                  "const size_t functions_lua_len = sizeof(functions_lua);\n")
