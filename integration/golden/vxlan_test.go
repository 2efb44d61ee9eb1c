package golden

import (
	"encoding/binary"
	"errors"
	"net"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/dataplane/wire/checksum"
	"penstock/integration/endpoint"
)

// nextHop is the MAC of the first next hop of VTEPs; the others follow.
const nextHop = model.MAC(0x02000000fd01)

// inVXLAN is what goes to VTEPs and comes from them.
func inVXLAN() []goldenCase {
	hw := func(m model.MAC) net.HardwareAddr { return binary.BigEndian.AppendUint64(nil, uint64(m))[2:] }
	wrapped := func(inner func() ([]byte, error), v6 bool, vni uint32) func() ([]byte, error) {
		return func() ([]byte, error) {
			in, err := inner()
			if err != nil {
				return nil, err
			}
			e := &layers.Ethernet{DstMAC: hw(boxMAC), SrcMAC: hw(nextHop), EthernetType: layers.EthernetTypeIPv4}
			u := &layers.UDP{SrcPort: 40000, DstPort: 4789}
			list := []gopacket.SerializableLayer{e}
			if v6 {
				e.DstMAC, e.EthernetType = hw(boxMAC+1), layers.EthernetTypeIPv6
				ip := &layers.IPv6{Version: 6, HopLimit: 63, NextHeader: layers.IPProtocolUDP,
					SrcIP: net.ParseIP("2001:db8::8"), DstIP: net.ParseIP("2001:db8::1")}
				_ = u.SetNetworkLayerForChecksum(ip)
				list = append(list, ip)
			} else {
				ip := &layers.IPv4{Version: 4, TTL: 63, Protocol: layers.IPProtocolUDP,
					SrcIP: net.IPv4(192, 0, 2, 7), DstIP: net.IPv4(192, 0, 2, 1)}
				_ = u.SetNetworkLayerForChecksum(ip)
				list = append(list, ip)
			}
			b := gopacket.NewSerializeBuffer()
			err = gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
				append(list, u, &layers.VXLAN{ValidIDFlag: true, VNI: vni}, gopacket.Payload(in))...)
			return b.Bytes(), err
		}
	}
	unchecked := func(b []byte) []byte { b[40], b[41] = 0, 0; return b }
	wrong := func(b []byte) []byte { b[41]++; return b }
	return []goldenCase{
		{name: "vxlan-encapsulate", config: "host-vxlan", in: []input{
			on("acc0", "UDP to an IPv4 VTEP", udp4(vm1, vm2, 0, 1000, 18)),
			on("acc0", "another flow", udp4(vm1, vm2, 0, 1001, 18)),
			on("acc0", "IPv6", udp6(vm1, vm2, 1000, 18)),
			on("acc0", "UDP to an IPv6 VTEP", udp4(vm1, vm4, 0, 1000, 18)),
			on("acc0", "an odd length to an IPv6 VTEP", udp4(vm1, vm4, 0, 1000, 19)),
			on("acc0", "largest packet", udp4(vm1, vm2, 0, 1000, 1472)),
			on("acc1", "broadcast to both VTEPs", raw(ethernet(endpoint.Broadcast, vm3.MAC, 0x88b7, 60))),
		}},
		{name: "vxlan-decapsulate", config: "host-vxlan", in: []input{
			on("fab0", "to vm1", changed(wrapped(udp4(vm2, vm1, 0, 1053, 18), false, 4096), unchecked)),
			on("fab0", "with a checksum", wrapped(udp6(vm2, vm1, 1053, 18), false, 4096)),
			on("fab0", "a wrong checksum", changed(wrapped(udp4(vm2, vm1, 0, 1053, 18), false, 4096), wrong)),
			on("fab0", "the other tenant", wrapped(udp4(vm2, vm1, 0, 1053, 18), false, 4097)),
			on("fab0", "an unknown VNI", wrapped(udp4(vm2, vm1, 0, 1053, 18), false, 4098)),
			on("fab6", "from an IPv6 VTEP", wrapped(udp4(vm4, vm1, 0, 1053, 18), true, 4096)),
			on("fab0", "broadcast to both local VIFs, and to no VTEP",
				wrapped(raw(ethernet(endpoint.Broadcast, vm2.MAC, 0x88b7, 60)), false, 4096)),
		}},
	}
}

// isVXLAN reports whether a frame is VXLAN over IPv4.
func isVXLAN(f []byte) bool {
	return len(f) > 50 && f[12] == 8 && f[13] == 0 && f[23] == 17 && binary.BigEndian.Uint16(f[36:]) == 4789
}

// checkVXLAN verifies the outer checksums of VXLAN over IPv4, whose UDP has none.
func checkVXLAN(f []byte) error {
	switch {
	case !isVXLAN(f):
		return nil
	case checksum.Checksum(f[14:34], 0) != 0:
		return errors.New("the checksum of the outer IPv4 header is wrong")
	case f[40] != 0 || f[41] != 0:
		return errors.New("UDP has a checksum, want none")
	}
	return nil
}
