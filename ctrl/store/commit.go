package store

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"penstock/ctrl/model"
	"penstock/ctrl/store/file"
)

// Ref names an object.
type Ref = model.Ref

// Batch holds the changes of one commit.
type Batch struct {
	Puts    []model.Object // no bindings
	Deletes []Ref          // no bindings
	Rows    *Rows          // bindings, sorted; may be nil
	Replace bool           // bindings that are not in Rows are deleted
}

// Commit applies the batch, whole or not at all, and returns when it is on disk. Just before that it calls prepare,
// if there is one, with the outcome; an error of prepare is returned as it is and nothing is committed. A batch that
// changes nothing is not committed and keeps the revision.
func (s *Store) Commit(b *Batch, prepare func(*Outcome) error) (*Outcome, error) {
	out := &Outcome{Removed: NewRows(0), Segments: map[string]int{}}
	err := s.file.Update(func(tx *bbolt.Tx) error {
		var err error
		if out.Revision, err = s.file.Uint(tx.Bucket(bucketMeta), keyRev); err != nil {
			return err
		}
		if err := s.apply(tx, b, out); err != nil {
			return err
		}
		changed := out.Changed() || len(b.Puts)+len(b.Deletes) > 0
		if changed {
			out.Revision++
		}
		if prepare != nil {
			if err := file.Caller(func() error { return prepare(out) }); err != nil {
				return err
			}
		}
		if !changed {
			return errNothing
		}
		return file.PutUint(tx.Bucket(bucketMeta), keyRev, out.Revision)
	})
	if err != nil && !errors.Is(err, errNothing) {
		return nil, err
	}
	return out, nil
}

var errNothing = errors.New("nothing to commit")

func (s *Store) apply(tx *bbolt.Tx, b *Batch, out *Outcome) error {
	counts := map[model.Kind]int{}
	for _, d := range b.Deletes {
		bk := tx.Bucket([]byte(d.Kind))
		if bk.Get([]byte(d.Key)) == nil {
			continue
		}
		counts[d.Kind]--
		if err := bk.Delete([]byte(d.Key)); err != nil {
			return err
		}
	}
	// In the order of the keys: bbolt appends faster than it inserts.
	puts := slices.Clone(b.Puts)
	keys := make([]string, len(puts))
	order := make([]int, len(puts))
	for i, o := range puts {
		keys[i], order[i] = o.Key(), i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(puts[i].Kind(), puts[j].Kind()), cmp.Compare(keys[i], keys[j]))
	})
	for _, i := range order {
		v, err := encode(puts[i])
		if err != nil {
			return err
		}
		bk, key := tx.Bucket([]byte(puts[i].Kind())), []byte(keys[i])
		if bk.Get(key) == nil {
			counts[puts[i].Kind()]++
		}
		if err := bk.Put(key, file.Seal(key, v)); err != nil {
			return fmt.Errorf("store %s/%s: %w", puts[i].Kind(), keys[i], err)
		}
	}
	if b.Rows != nil {
		if err := s.applyRows(tx, b, out); err != nil {
			return err
		}
		counts[model.KindBinding] = out.Created - out.Removed.Len()
	}
	for k, n := range counts {
		if err := s.count(tx, k, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) applyRows(tx *bbolt.Tx, b *Batch, out *Outcome) error {
	name := []byte(model.KindBinding)
	m := &merger{s: s, b: tx.Bucket(name), r: b.Rows, out: out, age: out.Revision + 1}
	if err := s.raiseSchema(tx); err != nil {
		return err
	}
	if !b.Replace {
		return m.merge()
	}
	if err := m.diff(); err != nil || !out.Changed() {
		return err
	}
	if err := tx.DeleteBucket(name); err != nil {
		return err
	}
	var err error
	if m.b, err = tx.CreateBucket(name); err != nil {
		return err
	}
	return m.rewrite()
}

// count changes the stored number of objects of a kind, which Load compares with the objects that it reads.
func (s *Store) count(tx *bbolt.Tx, k model.Kind, by int) error {
	if by == 0 {
		return nil
	}
	m, key := tx.Bucket(bucketMeta), []byte(keyCount+string(k))
	n, err := s.file.Uint(m, key)
	if err != nil {
		return err
	}
	if int64(n)+int64(by) < 0 {
		return s.file.Corrupted("the number of %s is wrong", k)
	}
	return file.PutUint(m, key, uint64(int64(n)+int64(by)))
}

// encode makes the value of a small object: JSON; of a path, of which there may be a hundred thousand: VID and weight
// of each VLAN in two octets each.
func encode(o model.Object) ([]byte, error) {
	p, ok := o.(model.Path)
	if !ok {
		return json.Marshal(o)
	}
	v := make([]byte, 0, 4*len(p.VLANs)+4)
	for _, l := range p.VLANs {
		v = binary.BigEndian.AppendUint16(v, l.VID)
		v = binary.BigEndian.AppendUint16(v, l.Weight)
	}
	return v, nil
}
