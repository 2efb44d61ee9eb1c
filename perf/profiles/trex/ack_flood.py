# Made from ack-flood.toml by "make generate": change that and not this.
#
# ACK flood from random addresses and ports
#
# TCP segments with ACK to one service, of connections that nobody opened. Source address, port and both numbers are random:
# nearly every frame is a flow that a stateful device does not know. The frames carry no signature.
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
        p = argparse.ArgumentParser(prog="ack-flood")
        p.add_argument("--size", type=int, default=64, help="octets of a frame, FCS included")
        p.add_argument("--src_mac", type=str, default=None, help="outermost source MAC, in place of the profile's")
        p.add_argument("--dst_mac", type=str, default=None, help="outermost destination MAC, in place of the profile's")
        p.add_argument("--core", type=int, default=-1, help="send everything from this core; -1: from all")
        known = vars(p.parse_args([]))
        p.set_defaults(**{k: v for k, v in kwargs.items() if k in known})
        return p.parse_args(list(tunables))

    def side_a(self, args):
        streams = []
        # ack
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="16.57.14.246", dst="48.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=54117, dport=80, seq=2061662632, ack=1498753612, flags="A", window=65535) / Padding(bytes(args.size - 58))
        vm = [
            STLVmFlowVarRepeatableRandom(name="ipv4_src", size=4, limit=2**31, seed=1652, min_value=268435456, max_value=285212671),
            STLVmFlowVarRepeatableRandom(name="tcp_src_port", size=4, limit=2**31, seed=48068, min_value=1024, max_value=65535),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=49759, min_value=0, max_value=4294967295),
            STLVmFlowVarRepeatableRandom(name="tcp_ack", size=4, limit=2**31, seed=27060, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="ipv4_src", pkt_offset=26),
            STLVmWrMaskFlowVar(fv_name="tcp_src_port", pkt_offset=34, pkt_cast_size=2, mask=0xffff),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38),
            STLVmWrFlowVar(fv_name="tcp_ack", pkt_offset=42),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "ack", packet, vm, pps=1000))
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
