package xsk_test

import (
	"testing"
	"time"

	"github.com/asavie/xdp"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk/xsktest"
)

// TestForeignPeer exchanges frames with another implementation of AF_XDP at the far end.
func TestForeignPeer(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := newPool(t, 1024)
	ours := openPort(t, p, a, 1, steer.Native)

	prog, err := xdp.NewProgram(1)
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	if err := prog.Attach(b.Index); err != nil {
		t.Fatal(err)
	}
	defer prog.Detach(b.Index)
	theirs, err := xdp.NewSocket(b.Index, 0, &xdp.SocketOptions{
		NumFrames: 512, FrameSize: 2048,
		FillRingNumDescs: 256, CompletionRingNumDescs: 256, RxRingNumDescs: 256, TxRingNumDescs: 256,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := prog.Register(0, theirs.FD()); err != nil {
		t.Fatal(err)
	}
	theirs.Fill(theirs.GetDescs(theirs.NumFreeFillSlots()))

	const batch = 100
	for round := range uint64(50) {
		first := round * batch
		ours.send(0, first, batch, 60+int(round)*20)
		var got []uint64
		for until := time.Now().Add(time.Second); len(got) < batch && time.Now().Before(until); {
			for _, d := range theirs.Receive(theirs.NumReceived()) {
				seq, ok := xsktest.Seq(theirs.GetFrame(d))
				if !ok {
					t.Fatalf("peer received %x", theirs.GetFrame(d))
				}
				got = append(got, seq)
			}
			theirs.Fill(theirs.GetDescs(theirs.NumFreeFillSlots()))
		}
		expectInOrder(t, "peer received", got, first, batch)
		for ours.reclaim(0) > 0 {
		}

		descs := theirs.GetDescs(batch)
		for i := range descs {
			descs[i].Len = uint32(60 + int(round)*20)
			copy(theirs.GetFrame(descs[i]), xsktest.Frame(first+uint64(i), int(descs[i].Len)))
		}
		for sent := theirs.Transmit(descs); sent < batch || theirs.NumFreeTxSlots() < 256; {
			sent += theirs.Transmit(descs[sent:])
		}
		expectInOrder(t, "peer sent", ours.receive(0, batch), first, batch)
		theirs.Complete(theirs.NumCompleted())
	}
	ours.close()
	p.whole(t)
}
