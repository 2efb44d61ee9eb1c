package pathprobe

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"

	"penstock/dataplane/resolve"
)

// Seal makes and checks tags, for one thread. The state after each key's block is computed once, so that a tag costs
// two blocks of SHA-256 for its message and one for the result, and no memory.
type Seal struct {
	keys []sealKey // the first signs
	sum  [sha256.Size]byte
}

type sealKey struct {
	id   uint8
	hash hash.Hash
}

// NewSeal returns a Seal for a list of keys, or nil if there is none.
func NewSeal(keys []resolve.Key) *Seal {
	if len(keys) == 0 {
		return nil
	}
	s := &Seal{}
	for _, k := range keys {
		h := hmac.New(sha256.New, []byte(k.Octets))
		h.Write(nil)
		h.Sum(s.sum[:0])
		h.Reset() // the first call keeps the state, which allocates
		s.keys = append(s.keys, sealKey{k.ID, h})
	}
	return s
}

// ID is the ID of the key that signs.
func (s *Seal) ID() uint8 { return s.keys[0].id }

// tag returns the tag of a message, valid until the next call.
func (s *Seal) tag(k *sealKey, body []byte) []byte {
	k.hash.Reset()
	k.hash.Write(body)
	return k.hash.Sum(s.sum[:0])[:resolve.TagLen]
}

// Put writes the tag of body, by the key that signs, to the octets behind it.
func (s *Seal) Put(to, body []byte) { copy(to, s.tag(&s.keys[0], body)) }

// Valid reports whether tag is that of body by any key with the ID.
func (s *Seal) Valid(tag, body []byte, id uint8) bool {
	for i := range s.keys {
		if k := &s.keys[i]; k.id == id && subtle.ConstantTimeCompare(s.tag(k, body), tag) == 1 {
			return true
		}
	}
	return false
}
