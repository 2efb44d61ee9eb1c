# Made from broadcast-storm.toml by "make generate": change that and not this.
#
# Broadcast and multicast: ARP, UDP, IPv6
#
# What a loop or a misbehaving host fills a segment with: half of it ARP requests for ever other addresses, the rest UDP
# to all hosts, over IPv4 and IPv6. A device that copies frames multiplies this; one that limits them should not let
# other traffic suffer.
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
        p = argparse.ArgumentParser(prog="broadcast-storm")
        p.add_argument("--src_mac", type=str, default=None, help="outermost source MAC, in place of the profile's")
        p.add_argument("--dst_mac", type=str, default=None, help="outermost destination MAC, in place of the profile's")
        p.add_argument("--core", type=int, default=-1, help="send everything from this core; -1: from all")
        known = vars(p.parse_args([]))
        p.set_defaults(**{k: v for k, v in kwargs.items() if k in known})
        return p.parse_args(list(tunables))

    def side_a(self, args):
        streams = []
        # arp
        packet = Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.0") / Padding(bytes(18))
        vm = [
            STLVmFlowVar(name="arp_target_ip", min_value=167772160, max_value=167837695, init_value=167772160, size=4, step=1, op="inc"),
            STLVmWrFlowVar(fv_name="arp_target_ip", pkt_offset=38),
        ]
        streams.append(self.stream(args, "arp", packet, vm, pps=2000))
        # udp
        packet = Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / IP(src="10.0.0.1", dst="255.255.255.255", id=0, flags="DF", ttl=64, tos=0) / UDP(sport=1024, dport=9) / Raw(bytes(18))
        vm = [
            STLVmFlowVar(name="udp_src_port", min_value=1024, max_value=65535, init_value=1024, size=2, step=1, op="inc"),
            STLVmWrFlowVar(fv_name="udp_src_port", pkt_offset=34),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=34, l4_type=CTRexVmInsFixHwCs.L4_TYPE_UDP),
        ]
        streams.append(self.stream(args, "udp", packet, vm, pps=1000))
        # ipv6
        packet = Ether(src="02:00:00:00:00:01", dst="33:33:00:00:00:01") / IPv6(src="fe80::ff:fe00:1", dst="ff02::1", tc=0, fl=0, hlim=255) / UDP(sport=1024, dport=9) / Raw(bytes(20))
        vm = [
            STLVmFlowVar(name="udp_src_port", min_value=1024, max_value=65535, init_value=1024, size=2, step=1, op="inc"),
            STLVmWrFlowVar(fv_name="udp_src_port", pkt_offset=54),
            STLVmFixChecksumHw(l3_offset=14, l4_offset=54, l4_type=CTRexVmInsFixHwCs.L4_TYPE_UDP),
        ]
        streams.append(self.stream(args, "ipv6", packet, vm, pps=1000))
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
