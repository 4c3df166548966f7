#!/bin/sh
# SPDX-License-Identifier: MIT
# mkiso.sh IMAGE ISO WORDS: a CD that boots a guest image under a PC BIOS: ISOLINUX, whose mboot.c32
# loads multiboot images. Written to a USB stick it boots as well.
set -eu
image=$1 iso=$2 words=$3
modules=/usr/lib/syslinux/modules/bios
cfg=$iso.cfg
printf 'DEFAULT probe\nPROMPT 0\nLABEL probe\n KERNEL mboot.c32\n APPEND /probe.elf %s\n' "$words" >"$cfg"
xorriso -as mkisofs -quiet -volid MINIVMM-PROBE -isohybrid-mbr /usr/lib/ISOLINUX/isohdpfx.bin \
	-o "$iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
	-boot-info-table -graft-points isolinux/isolinux.bin=/usr/lib/ISOLINUX/isolinux.bin \
	isolinux/ldlinux.c32=$modules/ldlinux.c32 isolinux/mboot.c32=$modules/mboot.c32 \
	isolinux/libcom32.c32=$modules/libcom32.c32 isolinux/isolinux.cfg="$cfg" probe.elf="$image" \
	>"$iso.log" 2>&1 || {
	cat "$iso.log" >&2
	rm -f "$iso"
	exit 1
}
rm -f "$cfg" "$iso.log"
