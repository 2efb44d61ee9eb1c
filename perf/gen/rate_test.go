package gen

import (
	"math"
	"strings"
	"testing"
)

func TestParseRate(t *testing.T) {
	for _, tc := range []struct {
		text   string
		mean   float64
		speed  int
		want   float64
		prints string
	}{
		{"1Mpps", 60, 0, 1e6, "1Mpps"},
		{"1.5 kpps", 60, 0, 1500, "1.5kpps"},
		{"250KPPS", 60, 0, 250e3, "250kpps"},
		{"7pps", 60, 10, 7, "7pps"},
		{"0.5pps", 60, 0, 0.5, "0.5pps"},
		{"10Gbps", 60, 10_000, 10e9 / 672, "10Gbps"}, // 64 octets with FCS are 84 on the wire
		{"1Gbps", 1514, 0, 1e9 / 8 / 1538, "1Gbps"},
		{"50%", 60, 10_000, 5e9 / 672, "50%"},
		{"100%", 60, 10_000, 10e9 / 672, "100%"},
		{"12.5%", 60, 1000, 125e6 / 672, "12.5%"},
		{"max", 60, 0, 0, "max"},
		{" Max ", 60, 10, 0, "max"},
	} {
		r, err := ParseRate(tc.text)
		if err != nil {
			t.Errorf("rate %q: %v, want no error", tc.text, err)
			continue
		}
		got, err := r.Frames(tc.mean, tc.speed)
		if err != nil || math.Abs(got-tc.want) > tc.want*1e-12 {
			t.Errorf("%q: %v frames per second, %v, want %v", tc.text, got, err, tc.want)
		}
		if r.String() != tc.prints {
			t.Errorf("%q prints as %q", tc.text, r)
		}
	}
}

func TestImpossibleRates(t *testing.T) {
	for text, want := range map[string]string{
		"": "want a number with pps", "1": "want a number with pps", "fast": "want a number with",
		"pps": `"" is no number`, "%": "is no number",
		"-1pps": "want more than 0", "0pps": "want more than 0", "0%": "want more than 0", "101%": "at most 100%",
		"NaNpps": "is no number", "InfMpps": "is no number", "1e400pps": "is no number", "0x10pps": "is no number",
		"1_000pps": "is no number", "1,5Mpps": "is no number",
		"2Mpps 3%": "is no number", "0.001pps": "want 0.01 or more", "2Gpps": "want at most 1e+09",
		"50%": "speed is not known", "1bps": "want 0.01 or more",
	} {
		r, err := ParseRate(text)
		if err == nil {
			_, err = r.Frames(60, 0)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if err := fits(1e6, 1514, 1000); err == nil || !strings.Contains(err.Error(), "(81274 frames per second)") {
		t.Errorf("more than the link carries: %v", err)
	}
	if err := fits(81274, 1514, 1000); err != nil {
		t.Errorf("all that the link carries: %v", err)
	}
	if err := fits(1e9, 1514, 0); err != nil {
		t.Errorf("a link of unknown speed: %v", err)
	}
}

// FuzzParseRate: a rate that is printed and read again is the same rate.
func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"1Mpps", "50%", "1Gbps", "max", "1e3 kpps", "-1pps", "0.1%", "é%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			return
		}
		again, err := ParseRate(r.String())
		if err != nil || math.Abs(again.value-r.value) > math.Abs(r.value)*1e-9 || again.unit != r.unit {
			t.Errorf("%q is %+v, its text %q is %+v, %v", s, r, r.String(), again, err)
		}
		if pps, err := r.Frames(60, 10_000); err == nil && r != MaxRate && !(pps >= lowestRate && pps <= highestRate) {
			t.Errorf("%q: %v frames per second", s, pps)
		}
	})
}
