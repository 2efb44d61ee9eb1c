"""A stand-in for TRex's trex.stl.api, for tests: as much of it as the files in ../../../.. use.

It checks arguments as TRex does, and makes the packets that TRex's field engine makes on one core: after its
documentation (trex-tgn.cisco.com, "Stateless support", "Field Engine") and, where that is silent, the behaviour of its
source (src/stx/stl/trex_stl_stream_vm.h):

- every packet starts from the template, and the instructions run in their order;
- a variable is stepped before it is used, and starts so that packet 0 has its initial value;
- inc and dec wrap within [min, max], and what goes over the end counts on from the other end;
- a tuple steps the address, the port when the address wraps, and begins anew after limit_flows packets;
- random values come from s = 214013 s + 2531011 mod 2^32, bits 16 to 30; 4 octets take two of them, high half
  first. A repeatable one has the seed that it is given; the others of a stream share one, random_seed * 514229;
- the hardware's checksums are taken for right ones.
"""

import struct

from scapy.all import *  # noqa: F401,F403  TRex's own module brings Scapy's names along

VERSION = "stand-in"

STLStreamDstMAC_CFG_FILE = 0
STLStreamDstMAC_PKT = 1
STLStreamDstMAC_ARP = 2

_SIZES = {1: "B", 2: ">H", 4: ">I", 8: ">Q"}
_ROOM = 64  # octets of variables of a stream


class TRexError(Exception):
    pass


def _check(ok, text, *args):
    if not ok:
        raise TRexError(text % args)


def _integer(name, v):
    _check(isinstance(v, int) and not isinstance(v, bool), "%s: %r is no integer", name, v)
    return v


def _value(name, v):
    """An integer, or an IPv4 address."""
    if isinstance(v, str):
        return struct.unpack(">I", bytes(int(x) for x in v.split(".")))[0]
    return _integer(name, v)


class _Random(object):
    def __init__(self, seed):
        self.s = seed & 0xFFFFFFFF

    def draw16(self):
        self.s = (214013 * self.s + 2531011) & 0xFFFFFFFF
        return self.s >> 16 & 0x7FFF

    def draw(self, size):
        if size <= 2:
            return self.draw16()
        if size == 4:
            high = self.draw16()
            return (high << 16) + self.draw16()
        high = self.draw(4)
        return (high << 32) + self.draw(4)


def _inc(low, high, now, step):
    left = high - now
    return now + step if step <= left else low + step - left - 1


def _dec(low, high, now, step):
    left = now - low
    return now - step if step <= left else high - (step - left - 1)


class STLVmFlowVar(object):
    room = property(lambda self: self.size)

    def __init__(self, name, init_value=None, min_value=0, max_value=255, size=4, step=1, op="inc", value_list=None):
        _check(size in _SIZES, "%s: size %r", name, size)
        _check(op in ("inc", "dec", "random"), "%s: op %r", name, op)
        self.name, self.size, self.op = name, size, op
        self.list = value_list
        if value_list is not None:
            _check(min_value is None and max_value is None and init_value is None, "%s: a list, and a range too", name)
            for v in value_list:
                _check(0 <= _integer(name, v) < 1 << 8 * size, "%s: %r does not fit", name, v)
            min_value, max_value = 0, len(value_list) - 1
        self.min, self.max, self.step = _value(name, min_value), _value(name, max_value), _value(name, step)
        if init_value is None:
            init_value = self.max if op == "dec" else self.min
        self.init = _value(name, init_value)
        for v in (self.min, self.max, self.init, self.step):
            _check(0 <= v < 1 << 8 * size, "%s: %r does not fit into %d octets", name, v, size)
        _check(self.min <= self.init <= self.max, "%s: %d is not from %d to %d", name, self.init, self.min, self.max)
        _check(self.step > 0, "%s: step %d", name, self.step)
        self.range = self.max - self.min + 1

    def start(self, random):
        step = self.step % self.range
        self.random = random
        self.now = (_dec if self.op == "inc" else _inc)(self.min, self.max, self.init, step)

    def run(self, values):
        step = self.step % self.range
        if self.op == "random":
            if self.list is not None:
                self.now = self.random.draw16() % len(self.list)
            else:
                self.now = self.min + self.random.draw(self.size) % self.range
        else:
            self.now = (_inc if self.op == "inc" else _dec)(self.min, self.max, self.now, step)
        values[self.name] = (self.now if self.list is None else self.list[self.now], self.size)

    def names(self):
        return [(self.name, self.size)]


class STLVmFlowVarRepeatableRandom(object):
    room = property(lambda self: 2 * self.size + 4)

    def __init__(self, name, size=4, limit=100, seed=None, min_value=0, max_value=None):
        _check(size in _SIZES, "%s: size %r", name, size)
        self.name, self.size, self.limit = name, size, _integer(name, limit)
        _check(0 < limit < 1 << 8 * size, "%s: limit %d", name, limit)
        _check(seed is not None, "%s: without a seed the values are others every time", name)
        self.seed = _integer(name, seed)
        self.min = _value(name, min_value or 0)
        self.max = _value(name, max_value) if max_value is not None else (1 << 8 * size) - 1
        _check(0 <= self.min <= self.max < 1 << 8 * size, "%s: from %d to %d", name, self.min, self.max)

    def start(self, random):
        self.random, self.count = _Random(self.seed), 0

    def run(self, values):
        if self.count == self.limit:
            self.random, self.count = _Random(self.seed), 0
        self.count += 1
        values[self.name] = (self.min + self.random.draw(self.size) % (self.max - self.min + 1), self.size)

    def names(self):
        return [(self.name, self.size)]


class STLVmTupleGen(object):
    room = 10

    def __init__(self, name, ip_min="0.0.0.1", ip_max="0.0.0.10", port_min=1025, port_max=65535, limit_flows=100000, flags=0):
        self.name = name
        self.ip = _value(name, ip_min), _value(name, ip_max)
        self.port = _integer(name, port_min), _integer(name, port_max)
        self.limit = _integer(name, limit_flows)
        _check(0 <= self.ip[0] <= self.ip[1] < 1 << 32, "%s: addresses %r", name, self.ip)
        _check(0 <= self.port[0] <= self.port[1] < 1 << 16, "%s: ports %r", name, self.port)
        _check(self.limit > 0 and flags == 0, "%s: limit %d, flags %d", name, self.limit, flags)

    def start(self, random):
        self.flow = 0

    def run(self, values):
        if self.flow == 0 or self.flow == self.limit:
            self.flow, self.now = 0, [self.ip[0], self.port[0]]
        else:
            wraps = self.now[0] == self.ip[1]
            self.now[0] = _inc(self.ip[0], self.ip[1], self.now[0], 1)
            if wraps:
                self.now[1] = _inc(self.port[0], self.port[1], self.now[1], 1)
        self.flow += 1
        values[self.name + ".ip"], values[self.name + ".port"] = (self.now[0], 4), (self.now[1], 2)

    def names(self):
        return [(self.name + ".ip", 4), (self.name + ".port", 2)]


class STLVmWrFlowVar(object):
    def __init__(self, fv_name, pkt_offset, offset_fixup=0, add_val=0, is_big=True):
        self.name, self.offset, self.add, self.big = fv_name, _integer(fv_name, pkt_offset) + offset_fixup, _integer(fv_name, add_val), is_big
        _check(-1 << 31 <= add_val < 1 << 31, "%s: add_val %d", fv_name, add_val)

    def end(self, variables):
        return self.offset + variables[self.name]

    def apply(self, packet, values):
        v, size = values[self.name]
        packet[self.offset:self.offset + size] = ((v + self.add) % (1 << 8 * size)).to_bytes(size, "big" if self.big else "little")


class STLVmWrMaskFlowVar(object):
    def __init__(self, fv_name, pkt_offset, pkt_cast_size=1, mask=0xFF, shift=0, add_value=0, offset_fixup=0, is_big=True):
        _check(pkt_cast_size in (1, 2, 4), "%s: pkt_cast_size %r", fv_name, pkt_cast_size)
        self.name, self.offset, self.size = fv_name, _integer(fv_name, pkt_offset) + offset_fixup, pkt_cast_size
        self.mask, self.shift, self.add, self.big = mask, shift, add_value, is_big
        _check(0 < mask < 1 << 32, "%s: mask %r", fv_name, mask)

    def end(self, variables):
        _check(variables[self.name] in (1, 2, 4), "%s: %d octets", self.name, variables[self.name])
        return self.offset + self.size

    def apply(self, packet, values):
        order = "big" if self.big else "little"
        v = (values[self.name][0] + self.add) & 0xFFFFFFFF
        v = (v << self.shift if self.shift >= 0 else v >> -self.shift) & 0xFFFFFFFF
        at = slice(self.offset, self.offset + self.size)
        old = int.from_bytes(packet[at], order)
        packet[at] = ((old & ~self.mask | v & self.mask) % (1 << 8 * self.size)).to_bytes(self.size, order)


class STLVmTrimPktSize(object):
    def __init__(self, fv_name):
        self.name = fv_name

    def end(self, variables):
        _check(variables[self.name] == 2, "%s: a size has 2 octets", self.name)
        return 0

    def apply(self, packet, values):
        n = values[self.name][0]
        _check(60 <= n <= len(packet), "size %d of %d", n, len(packet))
        self.trim = n


def _sum(octets, more=0):
    """The one's complement sum: 2^16 is 1 modulo 2^16 - 1."""
    if len(octets) % 2:
        octets = bytes(octets) + b"\0"
    total = int.from_bytes(octets, "big") + more
    return total % 0xFFFF or (0xFFFF if total else 0)


class STLVmFixIpv4(object):
    def __init__(self, offset):
        self.offset = _integer("offset", offset)

    def end(self, variables):
        return self.offset + 20

    def apply(self, packet, values):
        at = self.offset
        n = 4 * (packet[at] & 15)
        _check(packet[at] >> 4 == 4 and n >= 20, "no IPv4 header at %d", at)
        packet[at + 10:at + 12] = bytes(2)
        packet[at + 10:at + 12] = (0xFFFF - _sum(packet[at:at + n])).to_bytes(2, "big")


class CTRexVmInsFixHwCs(object):
    L4_TYPE_UDP = 11
    L4_TYPE_TCP = 13
    L4_TYPE_IP = 17


class STLVmFixChecksumHw(object):
    def __init__(self, l3_offset, l4_offset, l4_type):
        self.l3, self.l4, self.kind = _integer("l3_offset", l3_offset), _integer("l4_offset", l4_offset), l4_type
        _check(self.kind in (CTRexVmInsFixHwCs.L4_TYPE_UDP, CTRexVmInsFixHwCs.L4_TYPE_TCP), "l4_type %r", l4_type)
        _check(self.l3 >= 14 and self.l4 - self.l3 >= 20, "headers at %d and %d", self.l3, self.l4)

    def end(self, variables):
        return self.l4 + (20 if self.kind == CTRexVmInsFixHwCs.L4_TYPE_TCP else 8)

    def apply(self, packet, values):
        tcp = self.kind == CTRexVmInsFixHwCs.L4_TYPE_TCP
        proto = 6 if tcp else 17
        if packet[self.l3] >> 4 == 4:
            _check(packet[self.l3 + 9] == proto and 4 * (packet[self.l3] & 15) == self.l4 - self.l3, "no such header at %d", self.l3)
            STLVmFixIpv4(self.l3).apply(packet, values)
            end = self.l3 + int.from_bytes(packet[self.l3 + 2:self.l3 + 4], "big")
            addresses = packet[self.l3 + 12:self.l3 + 20]
        else:
            _check(packet[self.l3] >> 4 == 6 and packet[self.l3 + 6] == proto and self.l4 == self.l3 + 40, "no such header at %d", self.l3)
            end = self.l3 + 40 + int.from_bytes(packet[self.l3 + 4:self.l3 + 6], "big")
            addresses = packet[self.l3 + 8:self.l3 + 40]
        at = self.l4 + (16 if tcp else 6)
        packet[at:at + 2] = bytes(2)
        c = 0xFFFF - _sum(packet[self.l4:end], _sum(addresses) + proto + end - self.l4)
        packet[at:at + 2] = (0xFFFF if c == 0 and not tcp else c).to_bytes(2, "big")


class STLScVmRaw(object):
    def __init__(self, list_of_commands=None, cache_size=None):
        self.commands = list_of_commands or []


class STLPktBuilder(object):
    def __init__(self, pkt=None, pkt_buffer=None, vm=None, path_relative_to_profile=False, build_raw=False, remove_fcs=True):
        _check((pkt is None) != (pkt_buffer is None), "want one of pkt and pkt_buffer")
        self.octets = bytes(pkt) if pkt is not None else pkt_buffer
        _check(isinstance(self.octets, bytes) and 14 <= len(self.octets) <= 16384, "a packet of %d octets", len(self.octets))
        self.commands = vm.commands if isinstance(vm, STLScVmRaw) else vm or []
        variables, room = {}, 0
        for c in self.commands:
            if hasattr(c, "names"):
                room += c.room
                for name, size in c.names():
                    _check(name not in variables, "variable %s twice", name)
                    variables[name] = size
                if isinstance(c, STLVmFlowVar) and c.op == "random":
                    room += 0 if getattr(self, "random", False) else 4
                    self.random = True
                if isinstance(c, STLVmFlowVarRepeatableRandom):
                    _check(not any(isinstance(t, STLVmTrimPktSize) and t.name == c.name for t in self.commands), "%s: TRex takes no such size", c.name)
        _check(room <= _ROOM, "the variables take %d octets, and %d is the most", room, _ROOM)
        for c in self.commands:
            if not hasattr(c, "names"):
                name = getattr(c, "name", None)
                _check(name is None or name in variables, "no variable %s", name)
                _check(c.end(variables) <= len(self.octets), "%s writes up to %d of %d", type(c).__name__, c.end(variables), len(self.octets))

    def packets(self, count, seed):
        """The first packets of a stream."""
        random = _Random(seed * 514229)
        for c in self.commands:
            if hasattr(c, "names"):
                c.start(random)
        for _ in range(count):
            packet, values, size = bytearray(self.octets), {}, len(self.octets)
            for c in self.commands:
                if hasattr(c, "names"):
                    c.run(values)
                    continue
                c.apply(packet, values)
                size = getattr(c, "trim", size)
            yield bytes(packet[:size])


class STLTXMode(object):
    def __init__(self, pps=None, bps_L1=None, bps_L2=None, percentage=None):
        given = [x for x in (pps, bps_L1, bps_L2, percentage) if x is not None]
        _check(len(given) <= 1, "want one of pps, bps_L1, bps_L2 and percentage")
        for x in given:
            _check(isinstance(x, (int, float)) and x > 0, "rate %r", x)
        self.pps = pps if given else 1.0


class STLTXCont(STLTXMode):
    pass


class STLTXSingleBurst(STLTXMode):
    def __init__(self, total_pkts=1, **rate):
        super(STLTXSingleBurst, self).__init__(**rate)
        self.total_pkts = _integer("total_pkts", total_pkts)


class STLStream(object):
    def __init__(self, name=None, packet=None, mode=STLTXCont(pps=1), enabled=True, self_start=True, isg=0.0, flow_stats=None, next=None,
                 stream_id=None, action_count=0, random_seed=0, mac_src_override_by_pkt=None, mac_dst_override_mode=None,
                 dummy_stream=False, start_paused=False, core_id=-1):
        _check(isinstance(name, (str, int)), "name %r", name)
        _check(isinstance(packet, STLPktBuilder), "%s: packet %r", name, packet)
        _check(isinstance(mode, STLTXMode), "%s: mode %r", name, mode)
        _check(isinstance(isg, (int, float)) and isg >= 0, "%s: isg %r", name, isg)
        _check(mac_src_override_by_pkt in (True, 1), "%s: TRex would replace the source MAC", name)
        _check(mac_dst_override_mode == STLStreamDstMAC_PKT, "%s: TRex would replace the destination MAC", name)
        _check(next is None or not isinstance(mode, STLTXCont), "%s: continuous, and has a next", name)
        self.random_seed, self.core_id = _integer("random_seed", random_seed), _integer("core_id", core_id)
        _check(random_seed != 0 or not getattr(packet, "random", False), "%s: without random_seed the values are others every time", name)
        self.name, self.packet, self.mode, self.isg, self.next, self.self_start = name, packet, mode, isg, next, self_start

    def packets(self, count):
        return self.packet.packets(count, self.random_seed)


class STLProfile(object):
    def __init__(self, streams):
        names = [s.name for s in streams]
        _check(len(names) == len(set(names)), "two streams of one name")
        self.streams = streams

    def get_streams(self):
        return self.streams

    @staticmethod
    def load_pcap(pcap_file, ipg_usec=None, speedup=1.0, loop_count=1, vm=None, packet_hook=None, split_mode=None, min_ipg_usec=None,
                  src_mac_pcap=False, dst_mac_pcap=False):
        frames = [bytes(p) for p in rdpcap(pcap_file)]  # noqa: F405
        _check(frames, "%s has no packet", pcap_file)
        return STLProfile([STLStream(name=i, packet=STLPktBuilder(pkt_buffer=f), mode=STLTXSingleBurst(total_pkts=1, percentage=100),
                                     self_start=i == 1, isg=float(ipg_usec), next=i % len(frames) + 1,
                                     mac_src_override_by_pkt=src_mac_pcap, mac_dst_override_mode=int(dst_mac_pcap))
                           for i, f in enumerate(frames, start=1)])
