package server

import "sync/atomic"

// ownShare is how many payload bytes each connection may hold without drawing
// on the reserve: more than any negotiation has under way.
const ownShare = 64 << 10

// reserve bounds the memory that slow and absent peers can take up together,
// while nobody is cut for it who holds no more than a share of its own. A nil
// reserve is without end.
type reserve struct {
	limit int64
	used  atomic.Int64 // what all connections hold beyond their shares
}

// draw takes bytes, or gives back a negative number of them. It reports false
// when that is more than there is; they are taken all the same.
func (r *reserve) draw(bytes int) (within bool) {
	if r == nil || bytes == 0 {
		return true
	}
	return r.used.Add(int64(bytes)) <= r.limit
}

func (r *reserve) exhausted() bool {
	return r != nil && r.used.Load() > r.limit
}
