# SPDX-License-Identifier: MIT
# What the first process of the guest of tests/lab/test-linux.sh does, behind guest-start.sh.
# shellcheck shell=dash disable=SC2154

uptime() {
	cut -d' ' -f1 /proc/uptime
}

echo "guest $guest is up, uptime $(uptime)"
echo "clocksource $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
case $guest in
one)
	cat /proc/cpuinfo
	grep -E 'ttyS0|rtc0|acpi' /proc/interrupts
	read -r seconds </sys/class/rtc/rtc0/since_epoch && echo "rtc $seconds"
	/lib64/ld-linux-x86-64.so.2 --list-diagnostics | grep -E 'cpu_features.*cpuid\[0x2\]|dl_hwcap'
	/lib64/ld-linux-x86-64.so.2 --help | grep x86-64-v
	read -r word said
	echo "read $word $said"
	;;
pvh)
	grep -E '^(physical id|siblings|core id|cpu cores)' /proc/cpuinfo
	# What CPUID says on each CPU, as the dynamic linker read it there: four words a leaf.
	for cpu in 1 2 4 8; do
		# shellcheck disable=SC2046 # one line
		echo "words on $cpu" $(taskset $cpu /lib64/ld-linux-x86-64.so.2 --list-diagnostics |
			grep 'cpu_features.features.*cpuid' | cut -d= -f2)
	done
	;;
count)
	grep -E '^(processor|physical id|siblings|core id|cpu cores|apicid|flags)' /proc/cpuinfo
	i=0
	# Who comes to save it may be late.
	while [ $i -lt 60 ]; do
		i=$((i + 1))
		echo "count $i $nonce uptime $(uptime)"
		sleep 0.2
	done
	echo "clocksource $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
	grep -cE '^processor' /proc/cpuinfo
	;;
esac
poweroff -f
