package alarm

import (
	"errors"

	"penstock/ctrl/alarm/spool"
)

// Layout is the newest layout of the stored alarms' file.
const Layout = spool.Layout

// CopyTo writes the alarms and the notices that wait into a new file at path.
func (b *Board) CopyTo(path string) error {
	if err := b.Flush(); err != nil {
		return err
	}
	return b.spool.CopyTo(path)
}

// Examine reads a whole file of stored alarms that no box uses.
func Examine(path string) error {
	s, alarms, err := spool.Open(path, spool.Options{})
	if err != nil {
		return err
	}
	for _, text := range alarms {
		_, e := decode(text)
		err = errors.Join(err, e)
	}
	return errors.Join(err, s.Close())
}
