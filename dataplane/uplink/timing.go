package uplink

import "penstock/dataplane/fib"

// pairs is the number of consecutive probes in two copies without two answers, after which an answer counts for the
// last probe again.
const pairs = 3

// timing measures a gateway's round-trip time. ARP answers do not say which probe they answer. As long as every probe
// is answered before the next, that is the last one. Once one was not, an answer may be late, by any number of
// intervals: then a probe is sent twice, no other one in the time that an answer may take, and the two answers that
// come together are its.
type timing struct {
	unsure bool
	twice  int64 // when a probe was sent twice, or in both ways; 0 = never
	alone  bool  // none was before it, in the time that an answer may take
	paired int64 // when a probe was sent twice in one way; 0 = never
	vain   uint8 // pairs sent without two answers
}

// pair reports whether the probe that is about to be sent is to be sent twice; already says that it is sent in both
// ways.
func (t *timing) pair(now int64, already bool) bool {
	quiet := t.twice == 0 || now-t.twice > answerTime
	if !already && (!t.unsure || !quiet) {
		return false
	}
	if !already {
		if t.vain++; t.vain > pairs { // the gateway answers one of two
			t.unsure, t.vain = false, 0
			return false
		}
		t.paired = now
	}
	t.twice, t.alone = now, quiet
	return !already
}

// measure takes an answer into account; the last probe was sent at probed.
func (t *timing) measure(l *fib.MemberLive, probed, interval int64) {
	rtt := l.Answered.Load() - probed
	if t.unsure {
		twin := l.Twin.Load()
		if !t.alone || twin <= t.twice {
			return
		}
		rtt = twin - t.twice
		t.alone, t.vain, t.unsure = false, 0, rtt > interval
	}
	if rtt > 0 {
		l.RTT.Store(rtt)
		l.RTTs.Add(1)
	}
}
