// Package flowfile is the file in which a box keeps its flows over a restart.
//
// The file names servers by their keys, since indices have other owners after a restart. Numbers are big-endian.
//
//	magic "PSFL" 4 | version 2 | 0 2 | nanoseconds since 1970 when it was written 8
//	0x01 | length 2 | key of a server, TENANT/SERVICE/NAME: the first has number 0
//	0x02 | number of the server 4 | family 1 (4, 6) | protocol 1 | state 1 | off-table 1 | client's port 2 |
//	     service's port 2 | milliseconds since the last packet 4 | client's address 4 or 16
//	0x00 | number of flows 8 | CRC-32C of all before it 4
//
// Save writes a temporary file, renames it and syncs the directory. Load checks the whole file before it tells of a
// flow.
package flowfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"penstock/ctrl/store/file"
	"penstock/dataplane/flow"
)

// Flow is a flow by names.
type Flow struct {
	Server     string // TENANT/SERVICE/NAME
	Client     netip.Addr
	ClientPort uint16
	Port       uint16 // of the service
	Proto      uint8
	State      flow.State
	OffTable   bool
	Age        time.Duration // since the last packet
}

const (
	magic      = "PSFL"
	version    = 1
	headerLen  = 16
	trailerLen = 13
	flowLen    = 17 // without the address

	tagEnd, tagServer, tagFlow = 0, 1, 2

	maxServers = 1 << 20
)

// MaxFlows is the most flows that a file has; others are left out.
const MaxFlows = 1 << 24

// MaxSize is the size in octets of the largest file that Load reads.
const MaxSize = MaxFlows*(flowLen+16) + maxServers*256

// ErrDamaged says that a file is no saved table of flows, or not all of one.
var ErrDamaged = errors.New("it is damaged, or no file of flows")

var table = crc32.MakeTable(crc32.Castagnoli)

// Save writes the file. all calls its argument for each flow until that returns false. Save returns the number of flows
// written.
func Save(path string, now time.Time, all func(func(*Flow) bool)) (n int, err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return 0, fmt.Errorf("save flows: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("save flows: %w", err), f.Close())
			_ = os.Remove(f.Name())
		}
	}()
	w := newWriter(f, now)
	all(w.add)
	if err = w.end(); err != nil {
		return 0, err
	}
	if err = f.Sync(); err != nil {
		return 0, err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return 0, err
	}
	if err = errors.Join(f.Close(), file.SyncDir(dir)); err != nil {
		return 0, fmt.Errorf("save flows: %w", err)
	}
	return int(w.flows), nil
}

type writer struct {
	buf     *bufio.Writer
	sum     hash.Hash32
	servers map[string]uint32
	flows   uint64
	b       []byte
	err     error
}

func newWriter(f io.Writer, now time.Time) *writer {
	w := &writer{sum: crc32.New(table), servers: map[string]uint32{}}
	w.buf = bufio.NewWriterSize(io.MultiWriter(f, w.sum), 1<<16)
	w.b = append(w.b, magic...)
	w.b = binary.BigEndian.AppendUint32(w.b, version<<16)
	w.b = binary.BigEndian.AppendUint64(w.b, uint64(now.UnixNano()))
	w.flush()
	return w
}

func (w *writer) flush() {
	if w.err == nil {
		_, w.err = w.buf.Write(w.b)
	}
	w.b = w.b[:0]
}

// add writes a flow and reports whether more are wanted.
func (w *writer) add(f *Flow) bool {
	number, known := w.servers[f.Server]
	if !known {
		if len(w.servers) == maxServers || len(f.Server) > 1<<16-1 {
			return true
		}
		number = uint32(len(w.servers))
		w.servers[f.Server] = number
		w.b = binary.BigEndian.AppendUint16(append(w.b, tagServer), uint16(len(f.Server)))
		w.b = append(w.b, f.Server...)
	}
	family, off := byte(4), byte(0)
	if f.Client.Is6() {
		family = 6
	}
	if f.OffTable {
		off = 1
	}
	w.b = binary.BigEndian.AppendUint32(append(w.b, tagFlow), number)
	w.b = append(w.b, family, f.Proto, byte(f.State), off)
	w.b = binary.BigEndian.AppendUint16(w.b, f.ClientPort)
	w.b = binary.BigEndian.AppendUint16(w.b, f.Port)
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(min(f.Age.Milliseconds(), 1<<31-1)))
	w.b = append(w.b, f.Client.AsSlice()...)
	w.flush()
	w.flows++
	return w.err == nil && w.flows < MaxFlows
}

func (w *writer) end() error {
	w.b = binary.BigEndian.AppendUint64(append(w.b, tagEnd), w.flows)
	w.flush()
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	if w.err != nil {
		return w.err
	}
	w.b = binary.BigEndian.AppendUint32(w.b, w.sum.Sum32())
	w.flush()
	if w.err == nil {
		w.err = w.buf.Flush()
	}
	return w.err
}
