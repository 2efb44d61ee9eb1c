package file

import "go.etcd.io/bbolt"

// copyBatch is how much one transaction of a copy holds, in octets.
const copyBatch = 16 << 20

// CopyTo writes what the file holds into a new file at path, without free pages, and returns when it is on disk.
func (f *File) CopyTo(path string) error {
	return f.guard(func() error {
		to, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: f.o.NoSync})
		if err != nil {
			return err
		}
		err = bbolt.Compact(to, f.db, copyBatch)
		if cerr := to.Close(); err == nil {
			err = cerr
		}
		return err
	})
}
