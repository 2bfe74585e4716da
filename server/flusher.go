package server

import "sync"

// flusher writes what many connections are told at once, such as that a peer
// has joined, on one goroutine while there is something to write. What else is
// queued until a connection's turn comes goes in the same write: the more
// happens, the less each of it costs.
type flusher struct {
	mu      sync.Mutex
	due     []*outbox
	running bool

	ended sync.WaitGroup
}

// add takes outboxes whose flush is due. It keeps no part of the slice.
func (f *flusher) add(due []*outbox) {
	if len(due) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due = append(f.due, due...)
	if !f.running {
		f.running = true
		f.ended.Go(f.run)
	}
}

func (f *flusher) run() {
	var due []*outbox
	for {
		clear(due)
		f.mu.Lock()
		due, f.due = f.due, due[:0]
		if len(due) == 0 {
			f.due, f.running = nil, false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		for _, o := range due {
			o.flush()
		}
	}
}
