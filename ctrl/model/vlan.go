package model

import "iter"

// VLANRuns yields the first and the last of each run of VLAN IDs without a gap. ids ascend.
func VLANRuns(ids []uint16) iter.Seq2[uint16, uint16] {
	return func(yield func(first, last uint16) bool) {
		for i := 0; i < len(ids); {
			j := i
			for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
				j++
			}
			if !yield(ids[i], ids[j]) {
				return
			}
			i = j + 1
		}
	}
}
