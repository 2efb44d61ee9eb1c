package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"slices"
)

// bbolt follows the pages of a file without checks: a branch page that refers to itself makes it loop, and a page that
// is both in use and free is overwritten. So every page is checked once before bbolt opens the file: each page is
// referred to once, lies within the file, and holds keys in their order and within the bounds of the page above.
//
// The layout is that of bbolt 1.3 to 1.5, in the machine's byte order. A page begins with its number (8 octets), kind
// (2), number of elements (2) and number of pages behind it that belong to it (4).
const (
	pageHead    = 16
	element     = 16
	kindBranch  = 1
	kindLeaf    = 2
	kindFree    = 16
	elemBucket  = 1
	headMagic   = 0xED0CDAED
	headSum     = 56 // octets of a head before its checksum
	noFreePages = math.MaxUint64
	maxDepth    = 64 // of pages; a tree of 2^48 values with two elements a page is less deep
)

var native = binary.NativeEndian

// pages is a file being checked.
type pages struct {
	r    io.ReaderAt
	size uint64   // octets of a page
	high uint64   // number of pages; the ones behind are not in use
	seen []uint64 // by page, a bit
	leaf []byte   // the run of a leaf, used again
}

// errPages is wrapped by faults of pages, not by errors of reading.
var errPages = errors.New("its pages are wrong")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errPages, fmt.Sprintf(format, args...))
}

// checkPages returns a *CorruptError if the file is not sound, or the error of reading it.
func (f *File) checkPages(h *os.File) error {
	st, err := h.Stat()
	if err != nil {
		return err
	}
	err = checkPages(h, uint64(st.Size()))
	if errors.Is(err, errPages) || errors.Is(err, io.EOF) {
		return f.Corrupted("%v", err)
	}
	return err
}

func checkPages(r io.ReaderAt, size uint64) error {
	m, err := newestHead(r, size)
	if err != nil {
		return err
	}
	p := &pages{r: r, size: m.page, high: m.high}
	if p.high > size/p.size {
		return wrong("it is truncated: %d octets of %d pages of %d", size, p.high, p.size)
	}
	p.seen = make([]uint64, p.high/64+1)
	p.seen[0] = 3 // the heads
	if err := p.tree(m.root, nil, nil, 0); err != nil {
		return err
	}
	if m.free == noFreePages {
		return nil
	}
	return p.free(m.free)
}

// headPage is a head.
type headPage struct{ page, root, free, high, txid uint64 }

// newestHead returns the valid head: of the heads with a right checksum the one of the last transaction.
func newestHead(r io.ReaderAt, size uint64) (m headPage, err error) {
	m, ok, err := readHead(r, 0)
	if err != nil {
		return m, err
	}
	if ok {
		next, okNext, err := readHead(r, int64(m.page))
		if err != nil && !errors.Is(err, io.EOF) {
			return m, err
		}
		if okNext && next.page == m.page && next.txid > m.txid {
			m = next
		}
		return m, nil
	}
	for at := uint64(1 << 10); at <= 1<<24 && at < size; at <<= 1 {
		m, ok, err := readHead(r, int64(at))
		if err != nil && !errors.Is(err, io.EOF) {
			return m, err
		}
		if ok && m.page == at {
			return m, nil
		}
	}
	return m, wrong("neither of its two heads is right")
}

func readHead(r io.ReaderAt, at int64) (m headPage, ok bool, err error) {
	var b [pageHead + headSum + 8]byte
	if _, err := r.ReadAt(b[:], at); err != nil {
		if errors.Is(err, io.EOF) {
			return m, false, fmt.Errorf("it is truncated: %w", err)
		}
		return m, false, err
	}
	t := b[pageHead:]
	sum := fnv.New64a()
	sum.Write(t[:headSum])
	m = headPage{page: uint64(native.Uint32(t[8:])), root: native.Uint64(t[16:]), free: native.Uint64(t[32:]),
		high: native.Uint64(t[40:]), txid: native.Uint64(t[48:])}
	ok = native.Uint32(t) == headMagic && native.Uint64(t[headSum:]) == sum.Sum64() && m.page >= 1<<10 &&
		m.page <= 1<<24 && m.page&(m.page-1) == 0
	return m, ok, nil
}

// run reads a page with its overflow pages, and marks them as in use.
func (p *pages) run(id uint64, buf []byte) ([]byte, error) {
	if id < 2 || id >= p.high {
		return nil, wrong("page %d is outside of the %d pages", id, p.high)
	}
	var h [pageHead]byte
	if _, err := p.r.ReadAt(h[:], int64(id*p.size)); err != nil {
		return nil, err
	}
	n := 1 + uint64(native.Uint32(h[12:]))
	if native.Uint64(h[:]) != id || n > p.high-id {
		return nil, wrong("page %d has a wrong head", id)
	}
	for i := id; i < id+n; i++ {
		if err := p.mark(i); err != nil {
			return nil, err
		}
	}
	buf = slices.Grow(buf[:0], int(n*p.size))[:n*p.size]
	_, err := p.r.ReadAt(buf, int64(id*p.size))
	return buf, err
}

func (p *pages) mark(id uint64) error {
	if p.seen[id/64]&(1<<(id%64)) != 0 {
		return wrong("page %d is used in two places", id)
	}
	p.seen[id/64] |= 1 << (id % 64)
	return nil
}

// tree checks the pages below one, whose keys lie from low up to, not including, high; nil is no bound.
func (p *pages) tree(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return wrong("page %d lies more than %d pages deep", id, maxDepth)
	}
	text, err := p.run(id, p.leaf)
	if err != nil {
		return err
	}
	switch native.Uint16(text[8:]) {
	case kindLeaf:
		p.leaf = text
		return p.values(id, text, low, high, depth)
	case kindBranch:
		p.leaf = nil // the buffer is in use until the pages below are checked
		return p.branch(id, text, low, high, depth)
	}
	return wrong("page %d is neither branch nor leaf", id)
}

func (p *pages) branch(id uint64, text, low, high []byte, depth int) error {
	n := int(native.Uint16(text[10:]))
	if n == 0 {
		return wrong("branch page %d is empty", id)
	}
	keys, below := make([][]byte, n+1), make([]uint64, n)
	keys[n] = high
	for i := range n {
		e, err := elementAt(id, text, i)
		if err != nil {
			return err
		}
		below[i] = native.Uint64(e[8:])
		if keys[i], err = cut(id, e, uint64(native.Uint32(e)), uint64(native.Uint32(e[4:]))); err != nil {
			return err
		}
		if i > 0 {
			low = nil
			if bytes.Compare(keys[i-1], keys[i]) >= 0 {
				return wrong("the keys of branch page %d are not in order", id)
			}
		}
		if err := within(id, keys[i], low, high); err != nil {
			return err
		}
	}
	for i := range n {
		if err := p.tree(below[i], keys[i], keys[i+1], depth+1); err != nil {
			return err
		}
	}
	return nil
}

// values checks a leaf page, or the text of one that lies in a value, and the tables (buckets) in it.
func (p *pages) values(id uint64, text, low, high []byte, depth int) error {
	var roots []uint64
	var last []byte
	for i := range int(native.Uint16(text[10:])) {
		e, err := elementAt(id, text, i)
		if err != nil {
			return err
		}
		at, keyLen := uint64(native.Uint32(e[4:])), uint64(native.Uint32(e[8:]))
		valueLen := uint64(native.Uint32(e[12:]))
		both, err := cut(id, e, at, keyLen+valueLen)
		if err != nil {
			return err
		}
		key, value := both[:keyLen], both[keyLen:]
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return wrong("the keys of page %d are not in order", id)
		}
		last = key
		if err := within(id, key, low, high); err != nil {
			return err
		}
		if native.Uint32(e)&elemBucket == 0 {
			continue
		}
		if len(value) < pageHead {
			return wrong("a table in page %d is cut off", id)
		}
		if root := native.Uint64(value); root != 0 {
			roots = append(roots, root)
			continue
		}
		inside := value[pageHead:] // a small table lies in its value as a page
		if len(inside) < pageHead || native.Uint16(inside[8:]) != kindLeaf || depth >= maxDepth {
			return wrong("a table in page %d is no page", id)
		}
		if err := p.values(id, inside, nil, nil, maxDepth); err != nil {
			return err
		}
	}
	for _, root := range roots {
		if depth >= maxDepth {
			return wrong("a table in page %d is in another one that is small", id)
		}
		if err := p.tree(root, nil, nil, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// elementAt is the text of a page from its element i on.
func elementAt(id uint64, text []byte, i int) ([]byte, error) {
	at := pageHead + i*element
	if at+element > len(text) {
		return nil, wrong("page %d has more elements than room", id)
	}
	return text[at:], nil
}

func cut(id uint64, e []byte, at, n uint64) ([]byte, error) {
	if at < element || at > uint64(len(e)) || n > uint64(len(e))-at {
		return nil, wrong("a key or value of page %d lies outside of it", id)
	}
	return e[at : at+n : at+n], nil
}

func within(id uint64, key, low, high []byte) error {
	if low != nil && bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
		return wrong("a key of page %d belongs elsewhere", id)
	}
	return nil
}

// free checks the list of free pages.
func (p *pages) free(id uint64) error {
	text, err := p.run(id, nil)
	if err != nil {
		return err
	}
	if native.Uint16(text[8:]) != kindFree {
		return wrong("page %d is no list of free pages", id)
	}
	n, ids := uint64(native.Uint16(text[10:])), text[pageHead:]
	if n == math.MaxUint16 { // then the number is the first entry
		n, ids = native.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids))/8 {
		return wrong("the list of free pages in page %d has more entries than room", id)
	}
	for i := range n {
		x := native.Uint64(ids[i*8:])
		if x < 2 || x >= p.high {
			return wrong("the list of free pages names page %d, which is outside of the %d pages", x, p.high)
		}
		if err := p.mark(x); err != nil {
			return err
		}
	}
	return nil
}
