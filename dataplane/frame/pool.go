package frame

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// bulk is how many frames move between a worker's cache and the pool at once.
const bulk = 64

// Pool is the stock of free frames that all workers share. Frames come and go in bulks of 64 through two lock-free
// stacks (of full and of empty carriers), so that a worker touches shared memory once per 64 frames.
type Pool struct {
	carriers    []carrier
	full, empty stack
	free        atomic.Int64 // frames in full
	frameSize   uint32
}

// carrier holds one bulk. next is the carrier below it in its stack, plus one; 0 = bottom.
type carrier struct {
	next  atomic.Uint32
	n     uint32
	addrs [bulk]uint32
}

// stack is a Treiber stack of carriers; head = tag<<32 | index+1. The tag changes with every push and pop, so that a
// carrier that left and came back in between is noticed (ABA).
type stack struct {
	head atomic.Uint64
	_    [56]byte
}

func (s *stack) push(c []carrier, i uint32) {
	for {
		h := s.head.Load()
		c[i].next.Store(uint32(h))
		if s.head.CompareAndSwap(h, (h>>32+1)<<32|uint64(i+1)) {
			return
		}
	}
}

func (s *stack) pop(c []carrier) (uint32, bool) {
	for {
		h := s.head.Load()
		i := uint32(h)
		if i == 0 {
			return 0, false
		}
		next := c[i-1].next.Load()
		if s.head.CompareAndSwap(h, (h>>32+1)<<32|uint64(next)) {
			return i - 1, true
		}
	}
}

// NewPool returns a pool that holds all frames of a UMEM of frames×frameSize octets. caches is the number of Caches
// that will be made: each may hold a bulk of its own beyond what the carriers count.
func NewPool(frames, frameSize, caches int) (*Pool, error) {
	if frames <= 0 || frameSize <= 0 || frameSize&(frameSize-1) != 0 || uint64(frames)*uint64(frameSize) > 1<<32-1 {
		return nil, fmt.Errorf("frame pool: %d frames of %d octets: "+
			"want a power of two as size and less than 4 GiB in all", frames, frameSize)
	}
	n := (frames+bulk-1)/bulk + 2*caches + 2
	p := &Pool{carriers: make([]carrier, n), frameSize: uint32(frameSize)}
	addr := uint32(0)
	left := frames
	for i := range p.carriers {
		c := &p.carriers[i]
		for c.n < bulk && left > 0 {
			c.addrs[c.n] = addr
			c.n++
			addr += uint32(frameSize)
			left--
		}
		p.free.Add(int64(c.n))
		if c.n > 0 {
			p.full.push(p.carriers, uint32(i))
		} else {
			p.empty.push(p.carriers, uint32(i))
		}
	}
	return p, nil
}

// Base returns the address of the frame that holds octet off.
func (p *Pool) Base(off uint32) uint32 { return off &^ (p.frameSize - 1) }

// FrameSize returns the size of a frame in octets.
func (p *Pool) FrameSize() uint32 { return p.frameSize }

// ErrNoCarrier reports that more frames were returned than there are: an ownership bug.
var ErrNoCarrier = errors.New("frame pool: more frames returned than exist")

// Cache is one owner's stock of free frames: a worker's, or control's. Not safe for concurrent use.
type Cache struct {
	pool *Pool
	n    uint32
	free [2 * bulk]uint32
	lost uint64
}

// NewCache returns an empty cache over the pool.
func (p *Pool) NewCache() *Cache { return &Cache{pool: p} }

// Get takes a frame; ok is false when there is none left anywhere.
func (c *Cache) Get() (addr uint32, ok bool) {
	if c.n == 0 && !c.refill() {
		return 0, false
	}
	c.n--
	return c.free[c.n&(2*bulk-1)], true
}

// Put returns the frame at base address addr.
func (c *Cache) Put(addr uint32) {
	if c.n == 2*bulk {
		c.spill()
	}
	c.free[c.n&(2*bulk-1)] = addr
	c.n++
}

func (c *Cache) refill() bool {
	p := c.pool
	i, ok := p.full.pop(p.carriers)
	if !ok {
		return false
	}
	k := &p.carriers[i]
	c.n = uint32(copy(c.free[:], k.addrs[:k.n]))
	p.free.Add(-int64(k.n))
	k.n = 0
	p.empty.push(p.carriers, i)
	return c.n > 0
}

func (c *Cache) spill() {
	p := c.pool
	i, ok := p.empty.pop(p.carriers)
	if !ok {
		c.lost += bulk // cannot happen while every frame has one owner; counted, not hidden
		c.n -= bulk
		return
	}
	k := &p.carriers[i]
	k.n = uint32(copy(k.addrs[:], c.free[c.n-bulk:c.n]))
	p.free.Add(bulk)
	c.n -= bulk
	p.full.push(p.carriers, i)
}

// Flush returns everything to the pool, at the end of the owner's life: the last bulk may be a part of one, and there
// are carriers for one such part of each cache. Put returns whole bulks by itself.
func (c *Cache) Flush() {
	p := c.pool
	for c.n > 0 {
		i, ok := p.empty.pop(p.carriers)
		if !ok {
			c.lost += uint64(c.n)
			c.n = 0
			return
		}
		k := &p.carriers[i]
		take := min(c.n, bulk)
		k.n = uint32(copy(k.addrs[:], c.free[c.n-take:c.n]))
		p.free.Add(int64(take))
		c.n -= take
		p.full.push(p.carriers, i)
	}
}

// Len returns how many frames the cache holds.
func (c *Cache) Len() int { return int(c.n) }

// Lost returns how many frames could not be returned; always 0 unless a frame had two owners.
func (c *Cache) Lost() uint64 { return c.lost }

// Free returns how many frames are in the pool itself. Exact only while nobody takes or returns any.
func (p *Pool) Free() int { return int(p.free.Load()) }
