package golden

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestProtocolFrame compares the frame in PROTOCOL.md#encapsulation with the first one of the case that it names.
func TestProtocolFrame(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "PROTOCOL.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- frame: begin -->")
	body, _, found := strings.Cut(rest, "<!-- frame: end -->")
	if !found {
		t.Fatal("PROTOCOL.md has no frame between its marks")
	}
	var got []byte
	line := regexp.MustCompile(`^ *([0-9]+)  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  |$)`)
	for _, s := range strings.Split(body, "\n") {
		m := line.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		if at, _ := strconv.Atoi(m[1]); at != len(got) {
			t.Errorf("%q: the line begins at octet %d, want %d", s, at, len(got))
		}
		octets, err := hex.DecodeString(strings.ReplaceAll(m[2], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, octets...)
	}
	_, cfg := load(t, "host")
	want := read(t, filepath.Join("testdata", "ip16-encapsulate", "out.pcapng"))[0]
	if cfg.Ports[want.port].Name != "fab0" || !bytes.Equal(got, want.data) {
		t.Errorf("PROTOCOL.md has\n% x\nwant, by port %s,\n% x", got, cfg.Ports[want.port].Name, want.data)
	}
}
