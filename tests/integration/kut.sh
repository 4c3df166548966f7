#!/bin/bash
# SPDX-License-Identifier: MIT
# kut.sh BUILD: kvm-unit-tests on this machine's KVM, where $KUT names a folder of its images.
exec "$(dirname "$0")/../kut/check.sh" "$1" here
