# The Debian packages that Fanfare needs, once, for deploy/run and tests/run (sourced, not run).
#
# A word is PACKAGE or PACKAGE=COMMAND. With COMMAND the package counts as there when the command is found, wherever it
# came from: people have their own Node.js, CMake or Redis.

packages_to_build="
build-essential=cc cmake=cmake ninja-build=ninja pkg-config=pkg-config
libev-dev libhiredis-dev libc-ares-dev libyaml-dev libssl-dev libseccomp-dev zlib1g-dev
"
packages_to_run="redis-server=redis-server"
packages_to_test="
libcmocka-dev libjansson-dev clang-format=clang-format clang-tidy=clang-tidy cppcheck=cppcheck
chromium=chromium python3=/usr/bin/python3 python3-venv nodejs=node npm=npm redis-tools=redis-cli openssl=openssl
"

# For tests/fuzz/run alone: tests/run plays the corpora without a fuzzer.
packages_to_fuzz="clang=clang libclang-rt-14-dev"

# Prints those of the given words whose package or command is missing, as package names.
packages_missing() {
	local word package command
	for word in "$@"; do
		package=${word%%=*}
		command=${word#*=}
		if [ "$command" != "$word" ] && command -v "$command" >/dev/null; then
			continue
		fi
		if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
			echo "$package"
		fi
	done
}

# Installs what is missing of the given words. Touches neither apt nor the network when all is there.
packages_install() {
	local missing as_root=""
	missing=$(packages_missing "$@" | tr '\n' ' ')
	[ -n "$missing" ] || return 0
	if ! command -v apt-get >/dev/null; then
		echo "fanfare: missing: ${missing}(install them by your system's means: there is no apt-get here)" >&2
		return 1
	fi
	if [ "$(id -u)" != 0 ]; then
		as_root=sudo
		if ! command -v sudo >/dev/null; then
			echo "fanfare: missing: ${missing}(no sudo here: run 'apt-get install ${missing% }' as root)" >&2
			return 1
		fi
	fi
	echo "fanfare: installing ${missing% }"
	if ! $as_root apt-get update -qq ||
		! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
	then
		echo "fanfare: apt-get could not install: ${missing% }" >&2
		return 1
	fi
}
