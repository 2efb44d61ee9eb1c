-- Made from size-1518.toml by "make generate": change that and not this.
--
-- 1518-octet frames, 1,000 flows
--
-- UDP over IPv4 in the largest frames that an MTU of 1500 lets through: octets, not frames, are what limits.
--
-- What differs from "penstock gen":
-- - Identification goes up by 27, DF is not set, and the payload is Pktgen's pattern, without signature.
-- - The packets are made once, in the port's buffers, and sent in the order in which buffers come back: all values
--   appear, in no given order, and some once more often than others.
-- How to run it: perf/profiles/README.md.

package.path = package.path .. ";?.lua;test/?.lua;app/?.lua;"
require "Pktgen"

local port = os.getenv("PORT") or "0"
local src_mac = os.getenv("SRC_MAC") or "02:00:00:00:00:01"
local dst_mac = os.getenv("DST_MAC") or "02:00:00:00:00:02"

pktgen.stop(port)
pktgen.set(port, "count", 0)
pktgen.set(port, "rate", tonumber(os.getenv("RATE") or "100")) -- percent of the link
pktgen.range.src_mac(port, "start", src_mac)
pktgen.range.src_mac(port, "min", src_mac)
pktgen.range.src_mac(port, "max", src_mac)
pktgen.range.src_mac(port, "inc", "00:00:00:00:00:00")
pktgen.range.dst_mac(port, "start", dst_mac)
pktgen.range.dst_mac(port, "min", dst_mac)
pktgen.range.dst_mac(port, "max", dst_mac)
pktgen.range.dst_mac(port, "inc", "00:00:00:00:00:00")
pktgen.range.ip_proto(port, "udp")
pktgen.range.src_ip(port, "start", "16.0.0.1")
pktgen.range.src_ip(port, "inc", "0.0.0.1")
pktgen.range.src_ip(port, "min", "16.0.0.1")
pktgen.range.src_ip(port, "max", "16.0.3.232")
pktgen.range.dst_ip(port, "start", "48.0.0.1")
pktgen.range.dst_ip(port, "inc", "0.0.0.0")
pktgen.range.dst_ip(port, "min", "48.0.0.1")
pktgen.range.dst_ip(port, "max", "48.0.0.1")
pktgen.range.src_port(port, "start", 1024)
pktgen.range.src_port(port, "inc", 0)
pktgen.range.src_port(port, "min", 1024)
pktgen.range.src_port(port, "max", 1024)
pktgen.range.dst_port(port, "start", 9)
pktgen.range.dst_port(port, "inc", 0)
pktgen.range.dst_port(port, "min", 9)
pktgen.range.dst_port(port, "max", 9)
pktgen.range.ttl(port, "start", 64)
pktgen.range.ttl(port, "inc", 0)
pktgen.range.ttl(port, "min", 64)
pktgen.range.ttl(port, "max", 64)
pktgen.range.pkt_size(port, "start", 1518)
pktgen.range.pkt_size(port, "inc", 0)
pktgen.range.pkt_size(port, "min", 1518)
pktgen.range.pkt_size(port, "max", 1518)
pktgen.set_range(port, "on")
pktgen.start(port)
