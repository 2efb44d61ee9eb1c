# Made from vip-udp.toml by "make generate": change that and not this.
#
# 64-octet UDP frames to a virtual address, 10,000 flows
#
# UDP over IPv4 from 10,000 clients to one service of a virtual address, as a balancer's clients send it: 10.10.1.100, port 53, at
# the MAC that penstock gives that address. Every flow comes again after 10,000 frames.
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
        p = argparse.ArgumentParser(prog="vip-udp")
        p.add_argument("--size", type=int, default=64, help="octets of a frame, FCS included")
        p.add_argument("--flows", type=int, default=10000, help="number of flows")
        p.add_argument("--src_mac", type=str, default=None, help="outermost source MAC, in place of the profile's")
        p.add_argument("--dst_mac", type=str, default=None, help="outermost destination MAC, in place of the profile's")
        p.add_argument("--core", type=int, default=-1, help="send everything from this core; -1: from all")
        known = vars(p.parse_args([]))
        p.set_defaults(**{k: v for k, v in kwargs.items() if k in known})
        return p.parse_args(list(tunables))

    def side_a(self, args):
        streams = []
        # udp
        packet = Ether(src="02:00:00:00:00:01", dst="02:56:0a:0a:01:64") / IP(src="16.0.0.1", dst="10.10.1.100", id=0, flags="DF", ttl=64, tos=0) / UDP(sport=1024, dport=53) / Raw(bytes(args.size - 46))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.39.16", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=26),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=34),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_UDP),
        ]
        streams.append(self.stream(args, "udp", packet, vm, pps=1000))
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
