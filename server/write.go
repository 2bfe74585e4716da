package server

// maxOwnBatches is how many batches somebody writes who has queued a message:
// enough for the longest one.
const maxOwnBatches = 4

// flush writes what the outbox holds, without waiting: when the socket takes no
// more, a goroutine of its own goes on. So a connection to which nothing is to be
// written has no goroutine for it, and most writes need none: whoever queued a
// message for the peer writes it too. Only who the outbox has bound to it calls
// flush. It has other things to do, so it is not held for more than a few
// batches by those who go on queuing.
func (c *conn) flush() {
	b := batches.Get().(*batch)
	for batches := 1; c.out.next(b); batches++ {
		if batches > maxOwnBatches {
			c.out.writers.Go(func() { c.flushWaiting(b, 0) })
			return
		}
		written, err := 0, error(nil)
		for written < b.length() && err == nil {
			var n int
			if n, err = c.socket.writeNow(b.rest(written)); n == 0 {
				break
			}
			written += n
		}
		if err == nil && written < b.length() {
			c.out.writers.Go(func() { c.flushWaiting(b, written) })
			return
		}
		if !c.wrote(b, written, err) {
			break
		}
	}
	b.free()
}

// flushWaiting is flush, but waits for the socket. Some of the first batch is
// written already.
func (c *conn) flushWaiting(b *batch, written int) {
	defer b.free()
	for {
		var err error
		for written < b.length() && err == nil {
			var n int
			n, err = c.socket.Conn.Write(b.rest(written))
			written += n
		}
		if !c.wrote(b, written, err) || !c.out.next(b) {
			return
		}
		written = 0
	}
}

// wrote tells the outbox what became of a batch. It reports false when nothing
// more is to be written: after a close frame or an error.
func (c *conn) wrote(b *batch, written int, err error) bool {
	c.out.written(b.messages(written))
	switch {
	case err != nil:
		c.socket.Close()
	case b.last:
		// The peer closes next. The outbox cuts a connection that takes too long.
		if half, ok := c.socket.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	default:
		return true
	}
	close(c.writeEnded)
	return false
}
