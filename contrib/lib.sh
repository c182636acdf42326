# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What contrib/deps, contrib/quickstart and contrib/check share: steps that show progress and, when
# they fail, their last lines and their log's name; and where things are.
# A script sets LOGS (a folder) before its first step.

# The oldest ngtcp2 that configure takes.
export NGTCP2_WANTED=1.24

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Shows on a terminal how long the step has taken so far, until it is killed.
ticker()
{
	local start=$SECONDS

	while sleep 1; do
		printf '\r%s ... %d s ' "$1" $((SECONDS - start))
	done
}

# try_step TEXT LOG COMMAND...: runs the command with its output in $LOGS/LOG. Returns its status;
# a failure shows the last lines and the log's name. The command runs in the foreground, so that an
# interrupt reaches it.
try_step()
{
	local text=$1 log=$LOGS/$2 start=$SECONDS status=0 tick=
	shift 2

	mkdir -p "$LOGS"
	if [ -t 1 ]; then
		ticker "$text" &
		tick=$!
	else
		printf '%s ...\n' "$text"
	fi
	"$@" >"$log" 2>&1 </dev/null || status=$?
	if [ -n "$tick" ]; then
		kill "$tick" 2>/dev/null || :
		wait "$tick" 2>/dev/null || :
		printf '\r\033[K'
	fi
	if [ "$status" = 0 ]; then
		printf '%s: done, %d s\n' "$text" $((SECONDS - start))
	else
		printf '%s: FAILED (status %d). The last lines of %s:\n' "$text" "$status" "$log" >&2
		tail -n "${STEP_TAIL:-20}" "$log" | sed 's/^/  | /' >&2
	fi
	return "$status"
}

# The same, but a failure ends the script.
step()
{
	try_step "$@" || exit 1
}

# The cache's parts: one folder per system, one prefix per version and set of patches. configure
# (contrib/m4/rstun_deps.m4) makes the same names.
deps_cache()
{
	printf '%s\n' "${RSTUN_DEPS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rstund}"
}

platform()
{
	(
		# shellcheck source=/dev/null
		. /etc/os-release 2>/dev/null || :
		printf '%s%s-%s\n' "${ID:-unknown}" "${VERSION_ID:-}" "$(uname -m)"
	)
}

patch_key()
{
	cat "$SRCDIR"/contrib/patches/ngtcp2-*.patch | sha256sum | cut -c1-12
}

# build_tree NAME CONFIGURE-FLAGS...: configures (once, and again when the flags or configure
# changed) and builds $SRCDIR/build/NAME: all, or what MAKE_ARGUMENTS says.
build_tree()
{
	local name=$1 tree=$SRCDIR/build/$1 jobs
	shift

	jobs=$(nproc 2>/dev/null || echo 2)
	mkdir -p "$tree"
	if [ ! -e "$tree/config.status" ] || [ "$SRCDIR/configure" -nt "$tree/config.status" ] ||
		[ "$(cat "$tree/configured-with" 2>/dev/null)" != "$*" ]; then
		step "configure ($name)" "configure-$name.log" in_dir "$tree" "$SRCDIR/configure" -q "$@"
		printf '%s\n' "$*" >"$tree/configured-with"
	fi
	# shellcheck disable=SC2086
	step "build ($name)" "build-$name.log" make -C "$tree" -j"$jobs" ${MAKE_ARGUMENTS:-all}
}

in_dir()
{
	cd "$1" || return
	shift
	local status=0
	"$@" || status=$?
	cd "$OLDPWD" || return
	return "$status"
}

# The build system's own files, when they are missing or older than their sources.
make_configure()
{
	local file

	for file in "$SRCDIR"/configure.ac "$SRCDIR"/Makefile.am "$SRCDIR"/contrib/m4/rstun_*.m4; do
		if [ ! -e "$SRCDIR/configure" ] || [ ! -e "$SRCDIR/Makefile.in" ] ||
			[ "$file" -nt "$SRCDIR/configure" ]; then
			step "autoreconf" autoreconf.log autoreconf -fi "$SRCDIR"
			return
		fi
	done
}
