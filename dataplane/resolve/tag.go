package resolve

import (
	"crypto/hmac"
	"crypto/sha256"
)

// Key is a key of messages between boxes.
type Key struct {
	ID     uint8
	Octets string
}

// Tag returns the tag of a message, TagLen octets of HMAC-SHA-256 (RFC 2104, section 5). It is for control: it
// allocates.
func (k *Key) Tag(b []byte) []byte {
	h := hmac.New(sha256.New, []byte(k.Octets))
	_, _ = h.Write(b) // never fails (hash.Hash)
	return h.Sum(nil)[:TagLen]
}

// Made reports whether the key has made the tag of a message. It compares in constant time.
func (k *Key) Made(tag, b []byte) bool { return hmac.Equal(k.Tag(b), tag) }

// Message appends a message of these bodies to b. The first of the keys signs it: the last body has its ID, and the tag
// follows.
func Message(b []byte, list []Body, keys []Key) []byte {
	start := len(b)
	for i := range list {
		m := list[i]
		if i == len(list)-1 && len(keys) > 0 {
			m.Flags |= FlagTag
			m.KeyID = keys[0].ID
		}
		b = m.Append(b)
	}
	if len(keys) > 0 {
		b = append(b, keys[0].Tag(b[start:])...)
	}
	return b
}

// Bodies returns the bodies of a message. If the last one has FlagTag, the last TagLen octets of b are the tag of those
// before. ok is false if b is anything else.
func Bodies(b []byte) (list []Body, ok bool) {
	for len(b) > 0 {
		m, n, ok := Parse(b)
		if !ok {
			return nil, false
		}
		list, b = append(list, m), b[n:]
		if m.Flags&FlagTag != 0 {
			return list, len(b) == TagLen
		}
	}
	return list, true
}
