package server

import (
	"math"
	"sync/atomic"
	"time"
)

// epoch is what times are counted from that have to be atomic.
var epoch = time.Now()

// lifeline is the timer of a connection: until HELLO it waits for that, from
// then on it pings, and notices when the peer is silent for too long. It ends
// the read loop by a deadline that has passed.
type lifeline struct {
	timer *time.Timer
	heard atomic.Int64 // the last sign of life, since epoch

	// Owned by who has stopped the timer, until it is set again, else by the timer.
	hello  bool
	pingAt time.Duration // since epoch
}

// expectHello starts the timer.
func (c *conn) expectHello() {
	c.life.timer = time.AfterFunc(math.MaxInt64, c.beat)
	c.life.timer.Reset(c.limits.TimeToHello)
}

// helloCame ends the wait for HELLO: its peer is not to blame if the uid takes time
// to be had. It reports false when HELLO came too late.
func (l *lifeline) helloCame() bool { return l.timer.Stop() }

// keepAlive begins to ping, once helloCame and the peer is registered.
func (c *conn) keepAlive() {
	c.life.hello = true
	c.life.pingAt = time.Since(epoch) + c.keepalive
	c.life.timer.Reset(c.keepalive)
}

func (c *conn) beat() {
	now := time.Since(epoch)
	silenceEnds := time.Duration(c.life.heard.Load()) + 2*c.keepalive
	if !c.life.hello || now >= silenceEnds {
		// A socket that is closed has ended the read loop already.
		_ = c.socket.SetReadDeadline(time.Unix(1, 0))
		return
	}
	if now >= c.life.pingAt {
		c.out.ping()
		c.life.pingAt = now + c.keepalive
	}
	c.life.timer.Reset(min(c.life.pingAt, silenceEnds) - now)
}

// arrived notes a sign of life: whatever comes is one, every part of a long
// message too.
func (c *conn) arrived() {
	c.life.heard.Store(int64(time.Since(epoch)))
	c.out.lives()
}
