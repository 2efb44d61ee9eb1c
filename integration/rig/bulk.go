package rig

import (
	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

// Put pushes bindings the way a bulk push does.
func (r *Rig) Put(rows []model.Binding) error {
	if len(rows) == 0 {
		return nil
	}
	size := core.BulkSize{Added: len(rows)}
	seen := map[model.MAC]bool{}
	for i := range rows {
		if m := rows[i].SwitchMAC; !seen[m] {
			seen[m] = true
			size.Switches = append(size.Switches, m)
		}
	}
	if err := r.Compiler.BulkBegin(size); err != nil {
		return err
	}
	defer r.Compiler.BulkEnd()
	for len(rows) > 0 {
		n := min(len(rows), 10_000)
		if err := r.Compiler.BulkPut(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}
