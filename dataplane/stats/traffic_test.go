package stats

import "testing"

// TestTraffic: what was counted, packet by packet or in sums, is read once it is published, for its own object alone.
func TestTraffic(t *testing.T) {
	b := NewBlock(3 * RxTxLen)
	b.AddPacket(1*RxTxLen+Rx, 100)
	b.AddPacket(1*RxTxLen+Tx, 60)
	b.AddTraffic(1*RxTxLen+Tx, Traffic{Packets: 2, Bytes: 3000})
	if got := b.RxTx(1); got != (RxTx{}) {
		t.Errorf("%+v before it was published, want zero", got)
	}
	b.Publish()
	want := RxTx{Rx: Traffic{1, 100}, Tx: Traffic{3, 3060}}
	if got := b.RxTx(1); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, i := range []int{-1, 0, 2, 3, 1 << 40} {
		if got := b.RxTx(i); got != (RxTx{}) {
			t.Errorf("object %d: %+v, want zero", i, got)
		}
	}
	if got, sum := want.Plus(want), (RxTx{Rx: Traffic{2, 200}, Tx: Traffic{6, 6120}}); got != sum {
		t.Errorf("the sum is %+v, want %+v", got, sum)
	}
}
