package metrics

import "github.com/prometheus/client_golang/prometheus"

// VTEPs is the part of a scrape about VXLAN. Without a port with VXLAN List and Learning are nil, and there are no such
// metrics.
type VTEPs struct {
	List     []VTEP
	Learning map[string]uint64 // stations behind VTEPs, by what became of them
}

// VTEP is what was sent to and received from a VTEP.
type VTEP struct {
	Name                                   string
	RxPackets, RxBytes, TxPackets, TxBytes uint64
}

type vtepDescs struct{ rxPackets, rxBytes, txPackets, txBytes, learning *prometheus.Desc }

func newVTEPDescs() vtepDescs {
	return vtepDescs{
		rxPackets: desc("vtep_rx_packets_total",
			"Encapsulated frames from the VTEP, of segments that are known.", "vtep"),
		rxBytes:   desc("vtep_rx_bytes_total", "Octets of these, with the outer headers.", "vtep"),
		txPackets: desc("vtep_tx_packets_total", "Encapsulated frames to the VTEP.", "vtep"),
		txBytes:   desc("vtep_tx_bytes_total", "Octets of these, with the outer headers.", "vtep"),
		learning: desc("vtep_stations_total", "Stations behind VTEPs: learned, moved, aged, static (pushed, or a VIF "+
			"here: not learned), full (no room), asked (of another box, which was asked for it), taken (from another "+
			"box, which was silent), loops (with the MAC of a VIF here).", "outcome"),
	}
}

func (d *vtepDescs) describe(ch chan<- *prometheus.Desc) {
	for _, x := range []*prometheus.Desc{d.rxPackets, d.rxBytes, d.txPackets, d.txBytes, d.learning} {
		ch <- x
	}
}

func (d *vtepDescs) collect(o out, v *VTEPs) {
	for _, x := range v.List {
		o.counter(d.rxPackets, float64(x.RxPackets), x.Name)
		o.counter(d.rxBytes, float64(x.RxBytes), x.Name)
		o.counter(d.txPackets, float64(x.TxPackets), x.Name)
		o.counter(d.txBytes, float64(x.TxBytes), x.Name)
	}
	for outcome, n := range v.Learning {
		o.counter(d.learning, float64(n), outcome)
	}
}
