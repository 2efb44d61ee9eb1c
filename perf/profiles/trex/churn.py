# Made from churn.toml by "make generate": change that and not this.
#
# TCP connections that come and go
#
# Whole TCP connections: handshake, a request, an answer, and the end from both sides. Side a has the clients, side b the
# server; with one port it sends the clients' half. The frames follow no answer: the generator sends its sequence, at its
# rate, whatever the device does. A stateful device sees a new connection for every eight frames.
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
        p = argparse.ArgumentParser(prog="churn")
        p.add_argument("--flows", type=int, default=64000, help="number of flows")
        p.add_argument("--lag", type=float, default=100000.0, help="microseconds between two steps of a connection")
        p.add_argument("--src_mac", type=str, default=None, help="outermost source MAC, in place of the profile's")
        p.add_argument("--dst_mac", type=str, default=None, help="outermost destination MAC, in place of the profile's")
        p.add_argument("--core", type=int, default=-1, help="send everything from this core; -1: from all")
        known = vars(p.parse_args([]))
        p.set_defaults(**{k: v for k, v in kwargs.items() if k in known})
        return p.parse_args(list(tunables))

    def side_a(self, args):
        streams = []
        # tcp/syn
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="16.0.0.1", dst="48.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=1024, dport=80, seq=1511469138, ack=0, flags="S", window=65535, options=[("MSS", 1460)]) / Padding(bytes(2))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.3.232", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=17085, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=26),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=34),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "tcp/syn", packet, vm, pps=1000))
        # tcp/ack
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="16.0.0.1", dst="48.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=1024, dport=80, seq=1511469139, ack=1511676496, flags="A", window=65535) / Padding(bytes(6))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.3.232", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=17085, min_value=0, max_value=4294967295),
            STLVmFlowVarRepeatableRandom(name="tcp_ack", size=4, limit=2**31, seed=17086, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=26),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=34),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38, add_val=1),
            STLVmWrFlowVar(fv_name="tcp_ack", pkt_offset=42, add_val=1),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "tcp/ack", packet, vm, pps=1000, isg=args.lag * 2))
        # tcp/request1
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="16.0.0.1", dst="48.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=1024, dport=80, seq=1511469139, ack=1511676496, flags="PA", window=65535) / Raw(bytes(512))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.3.232", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=17085, min_value=0, max_value=4294967295),
            STLVmFlowVarRepeatableRandom(name="tcp_ack", size=4, limit=2**31, seed=17086, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=26),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=34),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38, add_val=1),
            STLVmWrFlowVar(fv_name="tcp_ack", pkt_offset=42, add_val=1),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "tcp/request1", packet, vm, pps=1000, isg=args.lag * 3))
        # tcp/fin
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="16.0.0.1", dst="48.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=1024, dport=80, seq=1511469651, ack=1511677008, flags="FA", window=65535) / Padding(bytes(6))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.3.232", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=17085, min_value=0, max_value=4294967295),
            STLVmFlowVarRepeatableRandom(name="tcp_ack", size=4, limit=2**31, seed=17086, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=26),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=34),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38, add_val=513),
            STLVmWrFlowVar(fv_name="tcp_ack", pkt_offset=42, add_val=513),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "tcp/fin", packet, vm, pps=1000, isg=args.lag * 5))
        # tcp/last-ack
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="16.0.0.1", dst="48.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=1024, dport=80, seq=1511469652, ack=1511677009, flags="A", window=65535) / Padding(bytes(6))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.3.232", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=17085, min_value=0, max_value=4294967295),
            STLVmFlowVarRepeatableRandom(name="tcp_ack", size=4, limit=2**31, seed=17086, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=26),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=34),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38, add_val=514),
            STLVmWrFlowVar(fv_name="tcp_ack", pkt_offset=42, add_val=514),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "tcp/last-ack", packet, vm, pps=1000, isg=args.lag * 7))
        return streams

    def side_b(self, args):
        streams = []
        # tcp/syn-ack
        packet = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IP(src="48.0.0.1", dst="16.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=80, dport=1024, seq=1511676495, ack=1511469139, flags="SA", window=65535, options=[("MSS", 1460)]) / Padding(bytes(2))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.3.232", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=17086, min_value=0, max_value=4294967295),
            STLVmFlowVarRepeatableRandom(name="tcp_ack", size=4, limit=2**31, seed=17085, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=30),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=36),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38),
            STLVmWrFlowVar(fv_name="tcp_ack", pkt_offset=42, add_val=1),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "tcp/syn-ack", packet, vm, pps=1000, isg=args.lag * 1))
        # tcp/answer1
        packet = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IP(src="48.0.0.1", dst="16.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=80, dport=1024, seq=1511676496, ack=1511469651, flags="PA", window=65535) / Raw(bytes(512))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.3.232", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=17086, min_value=0, max_value=4294967295),
            STLVmFlowVarRepeatableRandom(name="tcp_ack", size=4, limit=2**31, seed=17085, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=30),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=36),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38, add_val=1),
            STLVmWrFlowVar(fv_name="tcp_ack", pkt_offset=42, add_val=513),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "tcp/answer1", packet, vm, pps=1000, isg=args.lag * 4))
        # tcp/fin-answer
        packet = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IP(src="48.0.0.1", dst="16.0.0.1", id=0, flags="DF", ttl=64, tos=0) / TCP(sport=80, dport=1024, seq=1511677008, ack=1511469652, flags="FA", window=65535) / Padding(bytes(6))
        vm = [
            STLVmTupleGen(name="flow", ip_min="16.0.0.1", ip_max="16.0.3.232", port_min=1024, port_max=65535, limit_flows=args.flows),
            STLVmFlowVarRepeatableRandom(name="tcp_seq", size=4, limit=2**31, seed=17086, min_value=0, max_value=4294967295),
            STLVmFlowVarRepeatableRandom(name="tcp_ack", size=4, limit=2**31, seed=17085, min_value=0, max_value=4294967295),
            STLVmWrFlowVar(fv_name="flow.ip", pkt_offset=30),
            STLVmWrFlowVar(fv_name="flow.port", pkt_offset=36),
            STLVmWrFlowVar(fv_name="tcp_seq", pkt_offset=38, add_val=513),
            STLVmWrFlowVar(fv_name="tcp_ack", pkt_offset=42, add_val=514),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_TCP),
        ]
        streams.append(self.stream(args, "tcp/fin-answer", packet, vm, pps=1000, isg=args.lag * 6))
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
