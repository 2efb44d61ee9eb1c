package spool

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"penstock/ctrl/store/file"
)

// Layout is the newest layout of the file.
const Layout = 1

const schema = Layout

var (
	bucketMeta      = []byte("meta")
	bucketAlarms    = []byte("alarms")    // ID → text
	bucketNotices   = []byte("notices")   // sequence number → rank, time, text
	bucketReceivers = []byte("receivers") // name → progress

	keySchema = []byte("schema")
	keySeq    = []byte("sequence") // of the last notice
	keyID     = []byte("id")       // of the last alarm
)

// check verifies the layout, and makes it in a new file.
func check(f *file.File, tx *bbolt.Tx) error {
	m := tx.Bucket(bucketMeta)
	if m != nil {
		n, err := f.Uint(m, keySchema)
		if err == nil && n != schema {
			err = fmt.Errorf(
				"it has the layout %d, this version of penstock knows %d: start the version that wrote it, or move "+
					"it away", n, schema)
		}
		for _, name := range [][]byte{bucketAlarms, bucketNotices, bucketReceivers} {
			if err == nil && tx.Bucket(name) == nil {
				err = f.Corrupted("the table %s is missing", name)
			}
		}
		return err
	}
	if !tx.Writable() {
		return f.Corrupted("the table meta is missing")
	}
	for _, name := range [][]byte{bucketMeta, bucketAlarms, bucketNotices, bucketReceivers} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	for _, key := range [][]byte{keySeq, keyID} {
		if err := file.PutUint(tx.Bucket(bucketMeta), key, 0); err != nil {
			return err
		}
	}
	return file.PutUint(tx.Bucket(bucketMeta), keySchema, schema)
}

func (s *Spool) load(tx *bbolt.Tx, alarms map[uint64][]byte) (err error) {
	m := tx.Bucket(bucketMeta)
	if s.seq, err = s.f.Uint(m, keySeq); err != nil {
		return err
	}
	if s.id, err = s.f.Uint(m, keyID); err != nil {
		return err
	}
	if err := tx.Bucket(bucketAlarms).ForEach(func(k, v []byte) error {
		text, err := s.f.Unseal(k, v)
		if err != nil || len(k) != 8 {
			return s.f.Corrupted("an alarm cannot be read: %v", err)
		}
		alarms[binary.BigEndian.Uint64(k)] = slices.Clone(text)
		return nil
	}); err != nil {
		return err
	}
	if err := tx.Bucket(bucketReceivers).ForEach(func(k, v []byte) error {
		text, err := s.f.Unseal(k, v)
		p := &progress{}
		if err == nil {
			err = json.Unmarshal(text, p)
		}
		if err != nil {
			return s.f.Corrupted("the receiver %q cannot be read: %v", k, err)
		}
		s.receivers[string(k)] = p
		return nil
	}); err != nil {
		return err
	}
	return tx.Bucket(bucketNotices).ForEach(func(k, v []byte) error {
		n, err := s.notice(k, v)
		if err == nil {
			s.index = append(s.index, entry{seq: n.Seq, at: n.Time.UnixNano(), rank: n.Rank})
		}
		return err
	})
}

// notice decodes a stored notice; its data is valid as long as the transaction.
func (s *Spool) notice(k, v []byte) (Notice, error) {
	text, err := s.f.Unseal(k, v)
	if err == nil && (len(k) != 8 || len(text) < 9) {
		err = s.f.Corrupted("a notice is cut off")
	}
	if err != nil {
		return Notice{}, err
	}
	return Notice{
		Seq: binary.BigEndian.Uint64(k), Rank: text[0],
		Time: time.Unix(0, int64(binary.BigEndian.Uint64(text[1:]))), Data: text[9:],
	}, nil
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// write applies the changes that Flush took.
func write(tx *bbolt.Tx, alarms map[uint64][]byte, receivers map[string][]byte, add []entry,
	first, seq, id uint64) error {
	put := func(b *bbolt.Bucket, k, v []byte) error {
		if v == nil {
			return b.Delete(k)
		}
		return b.Put(k, file.Seal(k, slices.Clone(v)))
	}
	for _, i := range slices.Sorted(maps.Keys(alarms)) {
		if err := put(tx.Bucket(bucketAlarms), key(i), alarms[i]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(receivers)) {
		if err := put(tx.Bucket(bucketReceivers), []byte(name), receivers[name]); err != nil {
			return err
		}
	}
	b := tx.Bucket(bucketNotices)
	for _, e := range add {
		text := binary.BigEndian.AppendUint64([]byte{e.rank}, uint64(e.at))
		if err := put(b, key(e.seq), append(text, e.data...)); err != nil {
			return err
		}
	}
	c := b.Cursor()
	for k, _ := c.First(); len(k) == 8 && binary.BigEndian.Uint64(k) < first; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	m := tx.Bucket(bucketMeta)
	if err := file.PutUint(m, keySeq, seq); err != nil {
		return err
	}
	return file.PutUint(m, keyID, id)
}
