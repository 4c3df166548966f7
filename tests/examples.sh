#!/bin/sh
# SPDX-License-Identifier: MIT
# examples.sh BUILD FOLDER: the files that the documents' examples use, into that folder.
set -eu
top=$(dirname "$0")/..
mkdir -p "$2"
cp "$top"/tests/data/hosts/*.json "$top"/tests/data/masks/* "$top"/configs/overrides/* "$1"/guest-tests/*.elf "$2"
cp -r "$top/configs/vms" "$top/configs/overrides" "$2"
