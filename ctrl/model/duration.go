package model

import (
	"fmt"
	"strings"
	"time"
)

// Duration is a length of time, not negative. Text form: a number with its unit, as "2s" or "1h30m".
type Duration time.Duration

// DescribeJSON implements strict.Described.
func (Duration) DescribeJSON() string { return "a time with its unit like \"2s\" or \"500ms\"" }

// String returns the shortest text that means the same: "5m", not "5m0s".
func (d Duration) String() string {
	t := time.Duration(d).String()
	if strings.HasSuffix(t, "m0s") {
		t = t[:len(t)-2]
	}
	if strings.HasSuffix(t, "h0m") {
		t = t[:len(t)-2]
	}
	return t
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v < 0 {
		err = fmt.Errorf("%s is negative", b)
	}
	if err == nil {
		*d = Duration(v)
	}
	return err
}

// between reports a time outside of its limits.
func (d Duration) between(r reporter, field string, least, most time.Duration) {
	if d < Duration(least) || d > Duration(most) {
		r(field, CodeInvalid, fmt.Sprintf("choose a time from %s to %s", Duration(least), Duration(most)),
			"%s is too short or too long", d)
	}
}
