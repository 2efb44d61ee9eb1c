package flowfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"penstock/dataplane/flow"
)

// Load reads a file that Save has written and calls fn for each flow, with its age at the time now. Flows whose idle
// time is over are left out. A file that does not exist has no flows. If anything is wrong with the file, fn is not
// called.
func Load(path string, now time.Time, fn func(*Flow)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("saved flows: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("saved flows: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > MaxSize {
		return fmt.Errorf("saved flows: %s: %d octets: %w", path, st.Size(), ErrDamaged)
	}
	b := make([]byte, st.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return fmt.Errorf("saved flows: %w", err)
	}
	if err := parse(b, now, fn); err != nil {
		return fmt.Errorf("saved flows: %s: %w", path, err)
	}
	return nil
}

func parse(b []byte, now time.Time, fn func(*Flow)) error {
	if len(b) < headerLen+trailerLen || string(b[:4]) != magic {
		return ErrDamaged
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != version {
		return fmt.Errorf("version %d of the file, this program reads %d", v, version)
	}
	if end := len(b) - 4; crc32.Checksum(b[:end], table) != binary.BigEndian.Uint32(b[end:]) {
		return ErrDamaged
	}
	if err := walk(b, now, nil); err != nil {
		return err
	}
	return walk(b, now, fn)
}

// walk goes through a file whose checksum is right. Without fn it only checks.
func walk(b []byte, now time.Time, fn func(*Flow)) error {
	passed := max(now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(b[8:])))), 0) // the clock may have been set back
	var servers []string
	flows := uint64(0)
	b = b[headerLen:]
	for {
		switch {
		case len(b) < 1:
			return ErrDamaged
		case b[0] == tagEnd:
			if len(b) != trailerLen || binary.BigEndian.Uint64(b[1:]) != flows {
				return ErrDamaged
			}
			return nil
		case b[0] == tagServer && len(b) >= 3 && len(b) >= 3+int(binary.BigEndian.Uint16(b[1:])):
			n := 3 + int(binary.BigEndian.Uint16(b[1:]))
			servers = append(servers, string(b[3:n]))
			b = b[n:]
		case b[0] == tagFlow && len(b) >= flowLen+16+trailerLen || b[0] == tagFlow && len(b) >= flowLen+4 && b[5] == 4:
			n := flowLen + 4
			if b[5] == 6 {
				n = flowLen + 16
			} else if b[5] != 4 {
				return ErrDamaged
			}
			number, state := binary.BigEndian.Uint32(b[1:]), flow.State(b[7])
			if uint64(number) >= uint64(len(servers)) || state == flow.None || state >= flow.States {
				return ErrDamaged
			}
			flows++
			age := time.Duration(binary.BigEndian.Uint32(b[13:]))*time.Millisecond + passed
			if fn != nil && age < time.Duration(state.Idle())*time.Millisecond {
				client, _ := netip.AddrFromSlice(b[flowLen:n])
				fn(&Flow{
					Server: servers[number], Client: client, ClientPort: binary.BigEndian.Uint16(b[9:]),
					Port: binary.BigEndian.Uint16(b[11:]), Proto: b[6], State: state, OffTable: b[8] != 0, Age: age,
				})
			}
			b = b[n:]
		default:
			return ErrDamaged
		}
	}
}
