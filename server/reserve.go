package server

import "sync/atomic"

// ownShare is how much of the memory each connection may hold without drawing
// on the reserve: more than any negotiation has under way.
const ownShare = 64 << 10

// reserve bounds the memory that slow and absent peers can take up together,
// while nobody is cut for it who holds no more than a share of its own. Several
// that draw at once may take a little more. A nil reserve is without end.
type reserve struct {
	limit int64
	used  atomic.Int64 // what all connections hold beyond their shares
}

// draw takes bytes, or gives back a negative number of them.
func (r *reserve) draw(bytes int) {
	if r != nil && bytes != 0 {
		r.used.Add(int64(bytes))
	}
}

// has tells whether so many bytes may be drawn. For what is urgent, the one
// message of a peer that has read all others, there is as much again.
func (r *reserve) has(bytes int, urgent bool) bool {
	if r == nil {
		return true
	}
	limit := r.limit
	if urgent {
		limit *= 2
	}
	return r.used.Load()+int64(bytes) <= limit
}

// runsShort tells that nobody should hold what is not wanted in earnest.
func (r *reserve) runsShort() bool {
	return r != nil && r.used.Load() > r.limit/2
}
