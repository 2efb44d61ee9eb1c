package balance

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// embedded finds the flow that the ICMP error p is about: the embedded packet is one that the VIP sent to the client.
func (st *State) embedded(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) bool {
	e, ok := parse.Embedded(mem[p.Off+uint32(p.L4):p.Off+uint32(end(mem, p))], w.v6)
	v := &s.VIPs[w.vip]
	if !ok || e.Proto != wire.ProtoTCP && e.Proto != wire.ProtoUDP ||
		!w.v6 && uint32(e.Src[1]) != v.IP4 || w.v6 && e.Src != v.IP6 {
		p.DropFor(drop.VIPProtocol)
		return false
	}
	w.kind, w.proto, w.client = about, e.Proto, e.Dst
	w.port, w.clientPort = uint16(e.Ports>>16), uint16(e.Ports)
	return !st.elsewhere(mem, p, s, w, w.flowHash(v), flowHop) && st.service(mem, p, s, w)
}

// translateEmbedded replaces the source port of the packet in the ICMP error p: the server knows the packet with its
// own port. It updates the checksums of the embedded packet, if that one is embedded, and of the error.
func translateEmbedded(mem []byte, p *frame.Packet, w *work, port uint16) {
	m := mem[p.Off+uint32(p.L4) : p.Off+uint32(end(mem, p))]
	if e, ok := parse.Embedded(m, w.v6); ok {
		checksum.SetQuotedPort(m, e.L4, e.Proto, checksum.SrcPort, port)
	}
}

// flowHash is the hash that gives the worker of the flow: that of a whole packet from the client.
func (w *work) flowHash(v *fib.VIP) uint32 {
	ports := uint32(w.clientPort)<<16 | uint32(w.port)
	if w.v6 {
		return parse.FlowHash6(w.client, v.IP6, ports, w.proto)
	}
	return parse.FlowHash(w.client[1]<<32|uint64(v.IP4), ports, w.proto)
}
