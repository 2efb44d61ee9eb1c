package integration

import (
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock/integration/endpoint"
)

// heresOf is a frame with 36 HEREs: of the VIFs from n on, with a sequence, at a port of the foreign switch.
func heresOf(t *testing.T, n int, sequence uint64, port byte) []byte {
	f := hexBytes(t, hereHead)
	body := hexBytes(t, hereBody)
	for i := range 36 {
		binary.BigEndian.PutUint64(body[8:], sequence)
		binary.BigEndian.PutUint32(body[24:], 0x01000000+uint32(n+i))
		binary.BigEndian.PutUint32(body[28:], 10<<24|1<<20+uint32(n+i))
		body[39] = port
		f = append(f, body...)
	}
	return f
}

// heard is the sum of the HEREs that a node has taken, new ones and newer ones.
func (f *fabric) heard(node string) (n int) {
	f.t.Helper()
	for _, m := range takenLine.FindAllStringSubmatch(f.metrics(node), -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		must(f.t, err)
		n += int(v)
	}
	return n
}

var takenLine = regexp.MustCompile(`(?m)^penstock_binding_heard_total\{outcome="(?:taken|moved)"\} (\S+)$`)

// TestHereRate: a box that forwards takes HEREs meanwhile, and loses none of both. PENSTOCK_HERES=RATE[,RATE…] sends so
// many HEREs a second for five seconds each, of 100,000 VIFs, and says how many were taken: for figures.
func TestHereRate(t *testing.T) {
	rates, seconds, vifs, dataRate := []int{40_000}, 1, 3600, 2000
	full := os.Getenv("PENSTOCK_HERES")
	if full != "" {
		rates, seconds, vifs, dataRate = nil, 5, 99_972, 20_000
		for _, text := range strings.Split(full, ",") {
			n, err := strconv.Atoi(text)
			must(t, err)
			rates = append(rates, n)
		}
	}
	f := foreignBox(t)
	sw, vm := f.edge(t, "box1"), f.raw(t, "red-vm1")
	must(t, sw.Send(hexBytes(t, hereHead+hereBody)))
	f.eventually(t, "the receiver of the data is known", func() bool { return f.heard("box1") == 1 })
	sequence, began := uint64(time.Now().UnixNano()), f.heard("box1")
	for round, rate := range rates {
		sequence++
		drops := f.drops("box1")
		stop := make(chan struct{})
		received := countData(sw, stop)
		sent, frames := 0, 0
		messages := make([][]byte, vifs/36)
		for i := range messages {
			messages[i] = heresOf(t, 36*i, sequence, byte(17+round%2))
		}
		start := time.Now()
		for spent := time.Duration(0); spent < time.Duration(seconds)*time.Second; spent = time.Since(start) {
			for ; float64(36*frames) < spent.Seconds()*float64(rate); frames++ {
				if m := messages[frames%len(messages)]; frames >= len(messages) {
					for b := m[len(hereHead)/2:]; len(b) > 0; b = b[40:] { // newer than those of the round before
						binary.BigEndian.PutUint64(b[8:], sequence+uint64(frames/len(messages)))
					}
				}
				must(t, sw.Send(messages[frames%len(messages)]))
			}
			for ; float64(sent) < spent.Seconds()*float64(dataRate); sent++ {
				must(t, vm.Send(dataFrame(sent)))
			}
			time.Sleep(200 * time.Microsecond)
		}
		took := time.Since(start)
		sequence += uint64(frames/len(messages)) + 1
		taken, quiet := 0, 0 // until all are taken, or no more come for a second
		for last := -1; taken < 36*frames && quiet < 20; last = taken {
			if taken = f.heard("box1") - began; taken != last {
				quiet = 0
			}
			quiet++
			time.Sleep(50 * time.Millisecond)
		}
		spent := time.Since(start)
		full36 := 36 * int(f.drops("box1")["message_full"]-drops["message_full"])
		close(stop)
		got := <-received
		began += taken
		t.Logf("%d HEREs/s for %v: sent %d/s, taken %d of %d after %v, message_full %d; data: %d/s, %d lost of %d",
			rate, took.Round(time.Millisecond), int(float64(36*frames)/took.Seconds()), taken, 36*frames,
			spent.Round(time.Millisecond), full36, int(float64(sent)/took.Seconds()), sent-got, sent)
		if full == "" && (taken != 36*frames || got != sent) {
			t.Errorf("taken %d HEREs of %d, and %d packets arrived of %d; want all", taken, 36*frames, got, sent)
		}
	}
}

func dataFrame(n int) []byte {
	f := make([]byte, 60)
	copy(f, "\x02\x00\x00\x00\x01\x01\x02\x00\x00\x00\x00\x01\x88\xb6")
	binary.BigEndian.PutUint32(f[14:], uint32(n))
	return f
}

// countData counts the frames of dataFrame that leave for the fabric, until stop is closed and none has come for
// 100 ms.
func countData(sw *endpoint.Switch, stop chan struct{}) <-chan int {
	n := make(chan int, 1)
	go func() {
		count := 0
		for {
			b, err := sw.Receive(100 * time.Millisecond)
			switch {
			case err == nil:
				if len(b) >= 56 && fmt.Sprintf("%x", b[50:52]) == "88b6" {
					count++
				}
				continue
			default:
			}
			select {
			case <-stop:
				n <- count
				return
			default:
			}
		}
	}()
	return n
}
