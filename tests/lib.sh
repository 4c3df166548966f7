# SPDX-License-Identifier: MIT
# Sourced by test scripts. A test is a line on standard output, "ok NAME", "not ok NAME: what" or
# "skip NAME: why"; details of failures go to standard error. tests/check.sh counts them.
#
# A script is called with the build folder, runs in a scratch folder of its own ($tmp) and uses:
#   ran CMD...             run it: $status, $out (stdout), $err (stderr)
#   expect_status N        of what ran last
#   expect_out/err TEXT    it has a line that contains TEXT
#   expect_no_out TEXT     it has none
#   check NAME             ok if all expectations since the last check held, else not ok
# shellcheck shell=bash disable=SC2034

# In the background of a script signals are ignored that tests want to send; the program keeps to that.
[ -z "$(trap -p INT QUIT HUP)" ] || exec env --default-signal=INT,QUIT,HUP "$BASH" "$0" "$@"

set -u
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "$1" && pwd)
minivmm=$build/minivmm
guests=$build/guest-tests
tmp=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$tmp"' EXIT
# Sockets and cached proofs of tests stay among themselves.
export XDG_RUNTIME_DIR=$tmp/run
mkdir -m 700 "$XDG_RUNTIME_DIR"

problems=()

ran() {
	command_line=$*
	"$@" >"$tmp/.out" 2>"$tmp/.err" </dev/null
	status=$?
	out=$(tr -d '\0' <"$tmp/.out")
	err=$(tr -d '\0' <"$tmp/.err")
}

problem() {
	problems+=("$1")
}

expect_status() {
	[ "$status" = "$1" ] || problem "exit status $status instead of $1: $command_line"
}

expect_out() {
	grep -qF -- "$1" <<<"$out" || problem "standard output lacks '$1': $command_line"
}

expect_no_out() {
	! grep -qF -- "$1" <<<"$out" || problem "standard output has '$1': $command_line"
}

expect_err() {
	grep -qF -- "$1" <<<"$err" || problem "standard error lacks '$1': $command_line"
}

expect_no_err() {
	! grep -qF -- "$1" <<<"$err" || problem "standard error has '$1': $command_line"
}

expect_equal() {
	[ "$1" = "$2" ] || problem "'$1' is not '$2'${3:+ ($3)}"
}

expect_no_file() {
	[ ! -e "$1" ] || problem "$1 was left behind"
}

check() {
	if [ ${#problems[@]} = 0 ]; then
		echo "ok $1"
	else
		echo "not ok $1: ${problems[0]}"
		{
			printf '    %s\n' "${problems[@]}"
			sed 's/^/    | /' "$tmp/.out" | tail -15
			sed 's/^/    ! /' "$tmp/.err" | tail -15
		} >&2
	fi
	problems=()
}

skip() {
	echo "skip $1: $2"
}

# Is a guest of so many MiB not refused for this machine's own memory? It need not be free.
have_memory() {
	[ "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)" -ge "$1" ]
}

# Was the program built with a sanitizer that has to be loaded before anything else?
sanitized() {
	nm "$minivmm" 2>/dev/null | grep -q __asan_init
}

have_kvm() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ]
}
