package store

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/bbolt"

	"penstock/ctrl/model"
	"penstock/ctrl/store/file"
)

// Load reads everything but the bindings.
func (s *Store) Load() (*model.State, error) {
	st := &model.State{}
	var wg sync.WaitGroup
	errs := make([]error, len(model.Kinds))
	for i, kind := range model.Kinds {
		if kind.Held() {
			wg.Go(func() { errs[i] = s.file.View(func(tx *bbolt.Tx) error { return s.load(tx, kind, st) }) })
		}
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return st, nil
}

// load reads the objects of one kind.
func (s *Store) load(tx *bbolt.Tx, kind model.Kind, st *model.State) (err error) {
	if kind == model.KindPath {
		st.Paths, err = s.loadPaths(tx)
		return err
	}
	return st.Load(kind, func(row func(k, v []byte) error) error {
		return s.each(tx, kind, func(k, v []byte) error {
			if err := row(k, v); err != nil {
				return s.file.Corrupted("%s/%s: %v", kind, k, err)
			}
			return nil
		})
	})
}

func (s *Store) loadPaths(tx *bbolt.Tx) (map[string]model.Path, error) {
	out := map[string]model.Path{}
	err := s.each(tx, model.KindPath, func(k, v []byte) error {
		a, b, _ := strings.Cut(string(k), "/")
		var p model.Path
		if err := p.A.UnmarshalText([]byte(a)); err != nil {
			return s.file.Corrupted("paths/%s: %v", k, err)
		}
		if err := p.B.UnmarshalText([]byte(b)); err != nil {
			return s.file.Corrupted("paths/%s: %v", k, err)
		}
		if len(v)%4 != 0 {
			return s.file.Corrupted("paths/%s is cut off", k)
		}
		p.VLANs = make([]model.PathVLAN, 0, len(v)/4)
		for ; len(v) > 0; v = v[4:] {
			p.VLANs = append(p.VLANs, model.PathVLAN{VID: binary.BigEndian.Uint16(v),
				Weight: binary.BigEndian.Uint16(v[2:])})
		}
		out[string(k)] = p
		return nil
	})
	return out, err
}

// each calls f for every object of a kind and checks their number.
func (s *Store) each(tx *bbolt.Tx, kind model.Kind, f func(k, v []byte) error) error {
	want, err := s.file.Uint(tx.Bucket(bucketMeta), []byte(keyCount+string(kind)))
	if err != nil {
		return err
	}
	n := uint64(0)
	err = tx.Bucket([]byte(kind)).ForEach(func(k, v []byte) error {
		n++
		v, err := s.file.Unseal(k, v)
		if err != nil {
			return err
		}
		return f(k, v)
	})
	if err == nil && n != want {
		err = s.file.Corrupted("it holds %d %s where %d were stored", n, kind, want)
	}
	return err
}

// EachBinding calls f with all bindings, sorted by segment and MAC, in chunks that are reused, and checks their
// number. Later commits are not seen.
func (s *Store) EachBinding(f func([]model.Binding) error) error {
	return s.file.View(func(tx *bbolt.Tx) error {
		want, err := s.file.Uint(tx.Bucket(bucketMeta), []byte(keyCount+string(model.KindBinding)))
		if err != nil {
			return err
		}
		n := uint64(0)
		out := make([]model.Binding, 0, chunk+maxBlock)
		pool := make([]netip.Addr, 0, 2*chunk)
		var name segName
		prefix := ""
		c := tx.Bucket([]byte(model.KindBinding)).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if prefix == "" || !hasPrefix(k, prefix) {
				if len(k) < 6 {
					return s.file.Corrupted("the bindings have a key of %d octets", len(k))
				}
				prefix = string(k[:len(k)-6])
				name = splitPrefix(prefix)
			}
			rows, err := s.rowsOf(k, v)
			if err != nil {
				return err
			}
			for len(rows) > 0 {
				l := rowLen(rows)
				if l == 0 {
					return s.file.Corrupted("a block of bindings of segment %s/%s is cut off",
						name.tenant, name.segment)
				}
				out = append(out, model.Binding{Tenant: name.tenant, Segment: name.segment})
				pool = decodeRow(rows[:l], &out[len(out)-1], pool)
				rows = rows[l:]
				n++
			}
			if len(out) >= chunk {
				if err := file.Caller(func() error { return f(out) }); err != nil {
					return err
				}
				out, pool = out[:0], pool[:0]
			}
		}
		if len(out) > 0 {
			if err := file.Caller(func() error { return f(out) }); err != nil {
				return err
			}
		}
		if n != want {
			return s.file.Corrupted("it holds %d bindings where %d were stored", n, want)
		}
		return nil
	})
}

// Scan reads all bindings, sorted by segment and MAC, in short transactions: even a slow reader does not keep the file
// from reusing pages. Each chunk is of one revision. A binding that exists all the time is returned exactly once. A
// binding that is created, changed or deleted meanwhile is returned in one of its states or not at all.
type Scan struct {
	First, Last uint64 // revisions of the first and of the last chunk: equal if nothing was committed in between

	s    *Store
	key  []byte // of the last row returned: prefix and MAC; nil before the first
	rows []model.Binding
	pool []netip.Addr
}

// Scan begins to read.
func (s *Store) Scan() *Scan { return &Scan{s: s} }

// Next returns the next chunk, which is valid until the next call; an empty one is the end.
func (c *Scan) Next() ([]model.Binding, error) {
	out, pool := c.rows[:0], c.pool[:0]
	err := c.s.file.View(func(tx *bbolt.Tx) (err error) {
		if c.Last, err = c.s.file.Uint(tx.Bucket(bucketMeta), keyRev); err != nil {
			return err
		}
		cur := tx.Bucket([]byte(model.KindBinding)).Cursor()
		k, v := cur.First()
		if c.key == nil {
			c.First = c.Last
		} else if k, v = cur.Seek(c.key); !bytes.Equal(k, c.key) {
			// The block in which the row lies may start before it.
			if k == nil {
				k, v = cur.Last()
			} else if p, pv := cur.Prev(); p != nil {
				k, v = p, pv
			} else {
				k, v = cur.First()
			}
		}
		for ; k != nil && len(out) < chunk; k, v = cur.Next() {
			if len(k) < 6 {
				return c.s.file.Corrupted("the bindings have a key of %d octets", len(k))
			}
			prefix := k[:len(k)-6]
			name := splitPrefix(string(prefix))
			skip := c.key != nil && bytes.HasPrefix(c.key, prefix) && len(c.key) == len(k)
			if c.key != nil && !skip && bytes.Compare(k, c.key) < 0 {
				continue
			}
			rows, err := c.s.rowsOf(k, v)
			if err != nil {
				return err
			}
			for n := 0; len(rows) > 0; rows = rows[n:] {
				if n = rowLen(rows); n == 0 {
					return c.s.file.Corrupted("a block of bindings of segment %s/%s is cut off",
						name.tenant, name.segment)
				}
				if skip && bytes.Compare(rows[:6], c.key[len(prefix):]) <= 0 {
					continue
				}
				out = append(out, model.Binding{Tenant: name.tenant, Segment: name.segment})
				pool = decodeRow(rows[:n], &out[len(out)-1], pool)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.rows, c.pool = out, pool
	if len(out) > 0 {
		b := &out[len(out)-1]
		c.key = binary.BigEndian.AppendUint64([]byte(segName{b.Tenant, b.Segment}.prefix()), uint64(b.MAC)<<16)
		c.key = c.key[:len(c.key)-2]
	}
	return out, nil
}

// Bindings returns the bindings of the given keys that exist.
func (s *Store) Bindings(keys []model.BindingKey) (map[model.BindingKey]model.Binding, error) {
	out := make(map[model.BindingKey]model.Binding, len(keys))
	err := s.file.View(func(tx *bbolt.Tx) error {
		m := &merger{s: s, b: tx.Bucket([]byte(model.KindBinding))}
		for _, key := range keys {
			row, _, err := m.find(key)
			if err != nil {
				return err
			}
			if row != nil {
				b := model.Binding{Tenant: key.Tenant, Segment: key.Segment}
				decodeRow(row, &b, nil)
				out[key] = b
			}
		}
		return nil
	})
	return out, err
}

// Page is a listing of bindings.
type Page struct {
	Bindings []model.Binding
	More     bool // there are more behind the last
	Revision uint64
}

// List returns up to limit bindings behind the key after (zero: from the start), of one tenant or segment if named,
// that match keep (nil = all).
func (s *Store) List(tenant, segment string, after model.BindingKey, limit int,
	keep func(*model.Binding) bool) (p Page, err error) {
	scope := ""
	if tenant != "" {
		scope = tenant + "/"
		if segment != "" {
			scope += segment + "/"
		}
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		if p.Revision, err = s.file.Uint(tx.Bucket(bucketMeta), keyRev); err != nil {
			return err
		}
		m := &merger{s: s, b: tx.Bucket([]byte(model.KindBinding))}
		start := []byte(scope)
		afterKey := binary.BigEndian.AppendUint64([]byte(segName{after.Tenant, after.Segment}.prefix()),
			uint64(after.MAC)<<16)
		afterKey = afterKey[:len(afterKey)-2]
		if after != (model.BindingKey{}) && bytes.Compare(afterKey, start) > 0 {
			start = afterKey
			// The block in which the key lies may start before it.
			if k, _, _, err := m.block(segName{after.Tenant, after.Segment}.prefix(), uint64(after.MAC)); err != nil {
				return err
			} else if k != nil && bytes.Compare(k, start) < 0 {
				start = k
			}
		}
		c := m.b.Cursor()
		for k, v := c.Seek(start); k != nil && bytes.HasPrefix(k, []byte(scope)); k, v = c.Next() {
			rows, err := s.rowsOf(k, v)
			if err != nil {
				return err
			}
			prefix := string(k[:len(k)-6])
			name := splitPrefix(prefix)
			for n := 0; len(rows) > 0; rows = rows[n:] {
				if n = rowLen(rows); n == 0 {
					return s.file.Corrupted("a block of bindings of segment %s/%s is cut off",
						name.tenant, name.segment)
				}
				if after != (model.BindingKey{}) &&
					bytes.Compare(slices.Concat([]byte(prefix), rows[:6]), afterKey) <= 0 {
					continue
				}
				b := model.Binding{Tenant: name.tenant, Segment: name.segment}
				decodeRow(rows[:n], &b, nil)
				if keep != nil && !keep(&b) {
					continue
				}
				if len(p.Bindings) == limit {
					p.More = true
					return nil
				}
				p.Bindings = append(p.Bindings, b)
			}
		}
		return nil
	})
	return p, err
}
