# Writes the files of the built-in pages into a C source: cmake -DOUT=assets.c -DFILES=a|b|c -P embed.cmake
# The table that it makes is declared in asset.h.
string(REPLACE "|" ";" files "${FILES}")

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")

set(arrays "")
set(rows "")
set(count 0)
foreach(file ${files})
        get_filename_component(name ${file} NAME)
        get_filename_component(extension ${file} LAST_EXT)
        string(SUBSTRING ${extension} 1 -1 extension)
        if(NOT DEFINED type_${extension})
                message(FATAL_ERROR "embed.cmake: no content type for ${name}")
        endif()
        file(READ ${file} hex HEX)
        file(SHA256 ${file} digest)
        string(SUBSTRING ${digest} 0 16 digest)
        string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
        string(APPEND arrays "static const unsigned char content_${count}[] = {${bytes}};\n")
        string(APPEND rows "\t{\"/${name}\", \"${type_${extension}}\", \"\\\"${digest}\\\"\", "
                           "{(const char *)content_${count}, sizeof(content_${count})}},\n")
        math(EXPR count "${count} + 1")
endforeach()

file(WRITE ${OUT} "/* Made by embed.cmake. */\n#include \"asset.h\"\n\n${arrays}\n"
                  "const struct asset assets[] = {\n${rows}};\nconst size_t asset_count = ${count};\n")
