package traffic

import "fmt"

// A connection of a churning stream, and the side of each step. Sequence numbers: C and S are the initial ones of
// client and server, n the octets of a segment.
//
//	client              server
//	SYN       C         →
//	                    ←  SYN-ACK  S, C+1
//	ACK       C+1, S+1  →
//	PSH-ACK   request   →
//	                    ←  PSH-ACK  answer, which acknowledges the request
//	…
//	FIN-ACK             →               acknowledges the last answer
//	                    ←  FIN-ACK
//	ACK                 →
//
// or, with close = "rst", a RST in place of the last three.
//
// A program of Both sides keeps this order. A program of one side leaves out the steps of the other side and does not
// know its progress: two such programs sent at the same time keep the order within each side only.

// connections reads [stream.churn].
func (s *section) connections(t *section, out *spec) {
	c := &churn{
		requests: int(t.integer("requests", integer(0, 16), 1)),
		close:    t.enum("close", "fin", "fin", "rst", "none"),
	}
	if t.need("concurrent", wantInt(1, 1<<24)) {
		c.concurrent = uint32(t.integer("concurrent", integer(1, 1<<24), 1))
	}
	if out.tcp == nil {
		s.failf(t.path, "connections are those of TCP: write [stream.tcp]")
		return
	}
	for _, name := range []string{"flags", "seq", "ack"} {
		if h, ok := s.m["tcp"].(map[string]any); ok && h[name] != nil {
			s.failf(s.at("tcp")+"."+name, "follows from the step of the connection: remove it")
		}
	}
	if out.flows == nil {
		s.failf(t.path, "connections need addresses and ports: write [stream.flows]")
	} else if out.flows.dst {
		s.failf(s.at("flows")+".end", "the client is at the end that varies: write \"src\"")
	} else if c.concurrent > out.flows.count {
		t.failf(t.at("concurrent"),
			"%d connections at once, but only %d flows: make flows.count larger or this smaller", c.concurrent,
			out.flows.count)
	}
	if out.spread != nil || len(out.sizes) > 1 {
		s.failf(s.at("size"), "data segments have one size: write one")
	}
	if s.has("payload") || s.has("malformed") {
		s.failf(t.path, "a stream of connections has no payload and no malformed key: remove them")
	}
	out.churn, out.isnSeed = c, s.seedOf(t.path)
}

const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

// step is one segment of the connection.
type step struct {
	name     string
	server   bool
	flags    uint8
	data     bool
	seq, ack uint32 // behind the initial numbers
}

// steps returns the segments of a connection whose data segments carry n octets.
func (c *churn) steps(n uint32) []step {
	out := []step{
		{"syn", false, flagSYN, false, 0, 0},
		{"syn-ack", true, flagSYN | flagACK, false, 0, 1},
		{"ack", false, flagACK, false, 1, 1},
	}
	client, server := uint32(1), uint32(1)
	for i := range c.requests {
		out = append(out, step{fmt.Sprintf("request%d", i+1), false, flagPSH | flagACK, true, client, server})
		client += n
		out = append(out, step{fmt.Sprintf("answer%d", i+1), true, flagPSH | flagACK, true, server, client})
		server += n
	}
	switch c.close {
	case "fin":
		out = append(out,
			step{"fin", false, flagFIN | flagACK, false, client, server},
			step{"fin-answer", true, flagFIN | flagACK, false, server, client + 1},
			step{"last-ack", false, flagACK, false, client + 1, server + 1})
	case "rst":
		out = append(out, step{"rst", false, flagRST | flagACK, false, client, server})
	}
	return out
}

// churn makes a round of the connection's steps.
func (c *compiler) churn(s *spec) {
	n := s.sizes[0].octets - fcsLen
	r := round{block: newDivisor(uint64(s.churn.concurrent))}
	base := *s.tcp
	base.mss = 0
	plain := *s
	plain.tcp = &base
	payload := n - plain.headerLen()
	isn := [2]number{ // client's, server's: random, the same in all steps of a connection
		{from: 0, to: 1<<32 - 1, step: 1, op: opRandom, varies: true, seed: s.isnSeed},
		{from: 0, to: 1<<32 - 1, step: 1, op: opRandom, varies: true, seed: s.isnSeed%65535 + 1},
	}
	for i, st := range s.churn.steps(uint32(payload)) {
		t := plain
		if st.flags&flagSYN != 0 {
			t = *s
		}
		h := *t.tcp
		t.tcp = &h
		own, other := isn[0], isn[1]
		if st.server {
			own, other = other, own
			t.mirror(c.o)
		}
		if c.o.Side != Both && t.side != c.o.Side {
			continue
		}
		h.flags, h.seq, h.seqAdd = st.flags, own, st.seq
		if st.flags&flagACK != 0 {
			h.ack, h.ackAdd = other, st.ack
		}
		if !st.data {
			t.bare, t.sign = true, false
			t.sizes = []size{{max(minFrame, t.headerLen()+fcsLen), 1}}
		}
		b := &builder{length: -1, seed: t.seed}
		b.spec(&t, t.sizes[0].octets-fcsLen)
		lane := c.add(&t, s.name+"/"+st.name, s.weight, b)
		if len(c.errs) > 0 {
			return
		}
		c.g.origins[lane].step = i
		r.lanes = append(r.lanes, uint16(lane))
	}
	if len(r.lanes) == 0 {
		return
	}
	r.all = newDivisor(r.block.d * uint64(len(r.lanes)))
	c.g.rounds = append(c.g.rounds, r)
	c.users = append(c.users, user{lane: -1, round: len(c.g.rounds) - 1, weight: s.weight * len(r.lanes)})
}

// mirror turns the headers round: the frame that answers.
func (s *spec) mirror(o Options) {
	s.side = A + B - s.side
	s.eth.src, s.eth.dst = s.eth.dst, s.eth.src
	if s.outer != nil {
		m := *s.outer
		m.src, m.dst = m.dst, m.src
		m.srcPort, m.dstPort = m.dstPort, m.srcPort
		s.outer = &m
	}
	(&compiler{o: o}).override(s)
	if s.ip4 != nil {
		m := *s.ip4
		m.src, m.dst = m.dst, m.src
		s.ip4 = &m
	}
	if s.ip6 != nil {
		m := *s.ip6
		m.src, m.dst = m.dst, m.src
		s.ip6 = &m
	}
	s.tcp.src, s.tcp.dst = s.tcp.dst, s.tcp.src
	f := *s.flows
	f.dst = !f.dst
	s.flows = &f
}
