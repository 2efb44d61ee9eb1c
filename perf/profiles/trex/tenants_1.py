# Made from tenants-1.toml by "make generate": change that and not this.
#
# Encapsulated 64-octet frames of 1 tenant
#
# Form "ip", all of one tenant and segment.
# Towards a box's fabric port: the generator is the edge switch. src_mac and dst_mac are that of the switch and that of the
# box. 98 octets are an inner frame of 60 octets (64 with its FCS) and 34 of outer header, and 4 of FCS.
#
# What differs from "penstock gen":
# - The last 18 octets of a payload, which there hold sequence number and time stamp, are zeros. No checksum differs for it.
# - How the packets of several streams are interleaved: TRex gives each stream its rate, in these proportions. The packets
#   of each stream are the same ones in the same order as long as one core sends them: start TRex with -c 1, or pass
#   the tunable core=0. With more cores each goes through a part of the values, and random ones have other seeds.
# How to run it: perf/profiles/README.md.

import argparse

from trex.stl.api import *


class Mix(object):

    def get_streams(self, direction=0, tunables=(), **kwargs):
        args = self.arguments(tunables, kwargs)
        return self.side_b(args) if direction % 2 else self.side_a(args)

    # Older versions of TRex pass tunables as keywords (-t size=64), newer ones as arguments (-t --size 64).
    def arguments(self, tunables, kwargs):
        p = argparse.ArgumentParser(prog="tenants-1")
        p.add_argument("--size", type=int, default=98, help="octets of a frame, FCS included")
        p.add_argument("--src_mac", type=str, default=None, help="outermost source MAC, in place of the profile's")
        p.add_argument("--dst_mac", type=str, default=None, help="outermost destination MAC, in place of the profile's")
        p.add_argument("--core", type=int, default=-1, help="send everything from this core; -1: from all")
        known = vars(p.parse_args([]))
        p.set_defaults(**{k: v for k, v in kwargs.items() if k in known})
        return p.parse_args(list(tunables))

    def side_a(self, args):
        streams = []
        # encapsulated
        packet = Ether(src="02:00:00:00:0a:00", dst="02:00:00:00:00:02") / IP(src="10.1.0.1", dst="10.2.0.2", proto=143, id=101, flags="DF", ttl=64, tos=0) / Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2", id=0, flags="DF", ttl=64, tos=0) / UDP(sport=1024, dport=9) / Raw(bytes(args.size - 80))
        vm = []
        streams.append(self.stream(args, "encapsulated", packet, vm, pps=1000))
        return streams

    def side_b(self, args):
        streams = []
        return streams

    # stream makes one of octets without FCS; the MACs are the packet's, not the port's.
    def stream(self, args, name, packet, vm, pps, isg=0.0, **more):
        octets = packet if isinstance(packet, bytes) else bytes(packet)
        for at, mac in ((0, args.dst_mac), (6, args.src_mac)):
            if mac:
                octets = octets[:at] + bytes.fromhex(mac.replace(":", "")) + octets[at + 6:]
        if args.core >= 0:
            more["core_id"] = args.core
        return STLStream(name=name, isg=isg, mode=STLTXCont(pps=pps),
                         packet=STLPktBuilder(pkt_buffer=octets, vm=STLScVmRaw(vm), remove_fcs=False),
                         mac_src_override_by_pkt=True, mac_dst_override_mode=STLStreamDstMAC_PKT, **more)


def register():
    return Mix()
