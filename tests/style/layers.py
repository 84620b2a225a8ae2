"""Gate: a layer uses only the outside libraries that are its own.

That a layer includes only the layers below it needs no gate: a forbidden include does not compile. What the
compiler finds anywhere are the system's headers, so they are looked at here.
"""
import re

from sources import PRODUCT, c_files, report, text

# Who may use which library. A header that matches no pattern here may be used everywhere.
LIBRARIES = {
    "libev": (r"ev\.h", {"worker/net", "worker/redis", "worker", "broker"}),
    "hiredis": (r"hiredis/.*", {"worker/redis"}),
    "jansson": (r"jansson\.h", set()),  # tests compare with it
    "zlib": (r"zlib\.h", {"worker/proto"}),
    "YAML": (r"yaml\.h|cyaml/.*", {"common"}),
    "OpenSSL, connections": (r"openssl/(ssl|bio|x509|ocsp|tls).*\.h", {"worker/net"}),
    "OpenSSL, digests": (r"openssl/.*", {"worker/proto", "worker/net"}),
    "addresses": (r"netinet/in\.h", {"common", "worker/net", "worker/redis", "worker/client", "worker", "broker"}),
    "sockets": (r"sys/socket\.h|netinet/.*|arpa/.*|netdb\.h|sys/un\.h|poll\.h|sys/epoll\.h",
                {"common", "worker/net", "worker/redis", "worker", "broker"}),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def finding_of(layer, quote, header):
    if ".." in header:
        return "headers are included by bare name, not by a path with .."
    if quote == '"':
        return "headers of ours are included by bare name" if "/" in header else None
    for library, (pattern, layers) in LIBRARIES.items():
        if re.fullmatch(pattern, header):
            return None if layer in layers else f"{library} is not for {layer}"
    return None


def findings_in(path):
    layer = str(path.parent)
    for number, line in enumerate(text(path).splitlines(), 1):
        include = INCLUDE.match(line)
        why = include and finding_of(layer, *include.groups())
        if why:
            yield f"{path}:{number}: {line.strip()}: {why}"


report([finding for path in c_files(*PRODUCT) for finding in findings_in(path)],
       "Which layer may use what stands in README, and in the table of this script.")
