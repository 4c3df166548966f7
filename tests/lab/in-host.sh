# SPDX-License-Identifier: MIT
# Sourced by what runs in a lab host, in /job.
# shellcheck shell=sh

# r NAME COMMAND…: what it prints and how it ends is left in out/NAME.{out,err,rc}, for left (helpers.sh).
r() {
	name=$1
	shift
	"$@" >"out/$name.out" 2>"out/$name.err"
	echo $? >"out/$name.rc"
}
