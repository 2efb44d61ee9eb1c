#!/bin/bash
# Made from vip-udp.toml by "make generate": change that and not this.
#
# 64-octet UDP frames to a virtual address, 10,000 flows
#
# UDP over IPv4 from 10,000 clients to one service of a virtual address, as a balancer's clients send it: 10.10.1.100, port 53, at
# the MAC that penstock gives that address. Every flow comes again after 10,000 frames.
#
# What differs from "penstock gen":
# - Time to live 32, identification counting up, DF not set: pktgen has no settings for these.
# - The payload begins with pktgen's own header (magic number, sequence number, time), and has no signature.
# - Whatever varies begins with its second value. From there on addresses, ports and sizes are those of frame 1, 2, ….
# How to run it: perf/profiles/README.md.

# Usage: [COUNT=0] [RATE=packets per second] [SRC_MAC=…] [DST_MAC=…] vip-udp.sh INTERFACE [CPU]
# COUNT=0 sends until interrupted. Needs root and the module pktgen (modprobe pktgen).
set -eu
dev=${1:?usage: $0 INTERFACE [CPU]}
cpu=${2:-0}
dir=${PGDIR:-/proc/net/pktgen}

# pg FILE COMMAND…: the kernel refuses a bad command with an error, which ends the script.
pg() { local file=$1; shift; echo "$*" >> "$dir/$file"; }

pg "kpktgend_$cpu" rem_device_all
pg "kpktgend_$cpu" add_device "$dev"
pg "$dev" count "${COUNT:-0}"
pg "$dev" clone_skb 0
pg "$dev" pkt_size 60
pg "$dev" src_mac "${SRC_MAC:-02:00:00:00:00:01}"
pg "$dev" dst_mac "${DST_MAC:-02:56:0a:0a:01:64}"
pg "$dev" src_min 16.0.0.1
pg "$dev" src_max 16.0.39.16
pg "$dev" dst_min 10.10.1.100
pg "$dev" dst_max 10.10.1.100
pg "$dev" udp_src_min 1024
pg "$dev" udp_src_max 1024
pg "$dev" udp_dst_min 53
pg "$dev" udp_dst_max 53
pg "$dev" flag UDPCSUM
if [ -n "${RATE:-}" ]; then pg "$dev" ratep "$RATE"; fi

trap 'pg pgctrl stop; cat "$dir/$dev"; exit 0' INT TERM
pg pgctrl start
cat "$dir/$dev"
