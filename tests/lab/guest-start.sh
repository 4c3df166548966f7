#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# How the first process of a Linux guest begins, before linux-init.sh or disk-init.sh. guest= and nonce= are words
# of the kernel's command line, which Linux passes on to init's environment.
# shellcheck shell=dash disable=SC2154
export PATH=/bin
for tool in mount umount cat dd sha256sum insmod grep cut seq sleep poweroff taskset; do
	/bin/busybox ln -s busybox /bin/$tool
done
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
