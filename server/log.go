package server

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

// tally counts messages, without control frames.
type tally struct {
	messages, bytes uint64
}

func (t *tally) add(f frame) {
	t.messages++
	t.bytes += uint64(len(f.payload))
}

// logStart and logEnd write what is logged of a connection: that it registered,
// if it did, and why it ended. What it said is nowhere in there, nor its query,
// which may hold secrets.
func (c *conn) logStart() {
	c.log = c.log.With("peer", c.peer.uid)
	c.log.Info("registered", "viewer", c.peer.viewer, "resumed", c.resumed)
}

func (c *conn) logEnd(err error) {
	sent, code, reason := c.out.outcome()
	switch {
	case c.goodbye != 0:
		reason = fmt.Sprintf("closed by the peer with %d", c.goodbye)
	case reason == "" && code == websocket.CloseNormalClosure:
		reason = "session ended"
	case reason == "":
		reason = err.Error()
	}
	c.log.Info("connection ended", "reason", reason, "after", time.Since(c.began).Round(time.Millisecond),
		"received", c.received.messages, "receivedBytes", c.received.bytes,
		"sent", sent.messages, "sentBytes", sent.bytes)
}

// outcome tells what the connection has carried to the peer, and how the relay
// closed it.
func (o *outbox) outcome() (sent tally, code int, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	code = websocket.CloseNoStatusReceived
	if o.closing != nil && len(o.closing.payload) >= 2 { // RFC 6455, section 5.5.1
		code = int(binary.BigEndian.Uint16(o.closing.payload))
		reason = string(o.closing.payload[2:])
	}
	return o.sent, code, reason
}
