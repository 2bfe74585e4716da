package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/signalling"
)

var (
	errInvalidUTF8 = errors.New("server: text message is not UTF-8")
	errNoHello     = errors.New("server: no HELLO in time")
	errNoLife      = errors.New("server: no sign of life in time")
)

// conn is one WebSocket. Its read loop obeys the peer. What is in its outbox is
// written by one goroutine at a time, whichever the outbox has bound to that.
type conn struct {
	// Static.
	socket     *socket
	registry   *registry
	out        *outbox
	keepalive  time.Duration
	timeouts   timeouts
	limits     *Limits
	refusals   refusals
	place      *place // among the connections
	began      time.Time
	grantEnds  time.Time     // of the token; zero for never
	writeEnded chan struct{} // closed when nobody writes any more
	life       lifeline

	// Owned by the read loop.
	peer     *peer
	hello    bool // the peer is registered, or was
	resumed  bool // by taking its place from another connection
	goodbye  int  // the code of its close frame, if that came first
	pace     *pace
	received tally
	log      *slog.Logger
}

// run serves the connection and returns when all of its goroutines have ended.
func (c *conn) run() {
	c.expectHello()
	stopExpiry := c.endWithGrant()
	err := c.readLoop()
	ended := time.Now()
	stopExpiry()
	c.life.timer.Stop()
	c.waits()
	c.endReading(err)
	<-c.writeEnded
	c.socket.Close()
	c.out.writers.Wait()
	c.out.disarm()
	c.place.leave()
	c.logEnd(err)
	c.linger(ended)
	c.out.empty()
}

func (c *conn) readLoop() error {
	reader := &frameReader{
		socket:  c.socket,
		pace:    c.pace,
		limit:   c.limits.MaxMessageBytes,
		forget:  maxHelloBytes,
		control: c.handleControl,
		memory:  c.out.receive,
	}
	for {
		f, err := c.readMessage(reader)
		if err != nil {
			return c.nameTimeout(err)
		}
		switch {
		case c.out.over():
			// Only the end of the connection is still of interest.
		case !c.hello:
			c.handleHello(f, reader.forgot)
			if c.hello {
				reader.forget = 0
			}
		default:
			c.handle(f)
			if err := c.spendAsked(); err != nil {
				return err
			}
		}
	}
}

// spendAsked has the peer pay for answers that are long where the question is
// short.
func (c *conn) spendAsked() error {
	asked := c.peer.asked
	c.peer.asked = 0
	return c.pace.spendBytes(asked)
}

func (c *conn) readMessage(reader *frameReader) (frame, error) {
	f, err := reader.next()
	switch {
	case err != nil:
		return f, err
	case f.kind == websocket.TextMessage && !utf8.Valid(f.payload):
		return f, errInvalidUTF8
	}
	if c.received.messages%measureEvery == 0 {
		f.arrived = time.Since(epoch)
	}
	c.received.add(f)
	return f, c.pace.spendMessage()
}

func (c *conn) handleControl(kind int, payload []byte) error {
	switch kind {
	case websocket.PingMessage:
		c.out.answerPing(string(payload))
	case websocket.PongMessage:
		c.out.confirm(payload)
	}
	if err := c.pace.spendBytes(frameOverhead + len(payload)); err != nil {
		return err
	}
	return c.pace.spendMessage()
}

// waits writes what the peer has had queued for others, now that all that came
// has been read: many messages in one go.
func (c *conn) waits() {
	for _, o := range c.peer.due {
		o.flush()
	}
	clear(c.peer.due)
	c.peer.due = c.peer.due[:0]
}

func (c *conn) nameTimeout(err error) error {
	var netErr net.Error
	switch {
	case !errors.As(err, &netErr) || !netErr.Timeout():
		return err
	case c.hello:
		return errNoLife
	}
	return errNoHello
}

// handleClose frees the uid before the close frame is answered: who sees the
// answer may come back with the same uid at once.
func (c *conn) handleClose(code int) {
	if !c.out.over() {
		c.goodbye = code
	}
	c.registry.leave(c.peer)
	c.out.abandon(code, "", c.timeouts.closing)
}

// endReading takes the peer out, unless its place is kept, and answers the end
// of the read loop with a close frame, if one can still be read at the other side.
func (c *conn) endReading(err error) {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		c.handleClose(closed.Code)
		return
	}
	if !c.out.over() {
		c.refusals.countEnd(err)
	}
	code, reason := closeOf(err)
	if !broken(err) || c.registry.suspend(c.peer, code, reason) == nil {
		c.registry.leave(c.peer)
		c.out.abandon(code, reason, c.timeouts.closing)
	}
	if code == websocket.CloseNoStatusReceived {
		c.out.kill()
		return
	}
	// Data that nobody reads would make the kernel reset the connection and
	// with that discard the close frame under way.
	if c.socket.SetReadDeadline(time.Time{}) == nil {
		c.socket.discard()
	}
}

// broken tells whether neither side wanted the connection to end.
func broken(err error) bool {
	code, _ := closeOf(err)
	return code == websocket.CloseNoStatusReceived || errors.Is(err, errNoLife)
}

// closeOf gives the close code and reason for an error of the read loop, with
// CloseNoStatusReceived when the network has ended the connection.
func closeOf(err error) (code int, reason string) {
	var closed *websocket.CloseError
	var netErr net.Error
	switch {
	case errors.Is(err, errInvalidUTF8):
		return websocket.CloseInvalidFramePayloadData, "text is not UTF-8"
	case errors.Is(err, errNoHello):
		return websocket.ClosePolicyViolation, "no HELLO"
	case errors.Is(err, errNoLife):
		return websocket.ClosePolicyViolation, "no sign of life"
	case errors.Is(err, errMessageRate):
		return websocket.ClosePolicyViolation, "too many messages"
	case errors.Is(err, errByteRate):
		return websocket.ClosePolicyViolation, "too many bytes"
	case errors.Is(err, websocket.ErrReadLimit):
		return websocket.CloseMessageTooBig, "message too big"
	case errors.Is(err, errMemory):
		return websocket.CloseTryAgainLater, "no memory for the message"
	case errors.As(err, &closed), errors.As(err, &netErr), errors.Is(err, io.ErrUnexpectedEOF):
		return websocket.CloseNoStatusReceived, ""
	}
	return websocket.CloseProtocolError, "" // errViolation
}

// handleHello registers the peer, or refuses it and ends the connection, as when the
// message was too long to be kept.
func (c *conn) handleHello(f frame, tooLong bool) {
	command, err := signalling.ParseCommand(f.payload)
	switch {
	case f.kind != websocket.TextMessage || command.Verb != signalling.VerbHello:
		c.reject(websocket.CloseProtocolError, "invalid protocol", RefusedProtocol)
	case err == nil && !c.peer.grant.AllowsUID(command.ID):
		c.reject(websocket.ClosePolicyViolation, "uid not allowed by the token", RefusedToken)
	case err == nil && !c.life.helloCame():
		// Too late: the read loop is about to end.
	case err != nil || tooLong || !c.register(command.ID):
		if !c.out.over() { // by an end that has nothing to do with the uid
			c.reject(websocket.CloseProtocolError, "invalid peer uid", RefusedUID)
		}
	default:
		c.hello = true
		c.keepAlive()
		c.logStart()
	}
}

func (c *conn) reject(code int, reason string, counted Refused) {
	c.refusals.count(counted)
	c.out.send(textFrame(errorReply(errors.New(reason))))
	c.out.finish(code, reason, c.timeouts.closing)
}

// register reserves the uid, or takes it over from the same peer's connection.
func (c *conn) register(uid string) bool {
	c.peer.uid = uid
	for {
		holder, ok := c.registry.register(c.peer)
		switch {
		case ok:
			return true
		case holder == nil:
			return false
		case holder.is(c.peer):
			if c.resume(holder) {
				c.resumed = true
				return true
			}
			if !c.await(holder, nil) { // it is on its way out
				return false
			}
		case !c.await(holder, holder.out.probe()):
			return false
		}
	}
}

// await gives the holder of a uid time to show that it is there: its connection
// may be half open (a vanished host, a reloaded page), or it may be on its way
// back. It reports true when the uid may be free. A holder that is alive says so
// on the channel.
func (c *conn) await(holder *peer, alive <-chan struct{}) bool {
	timeout := time.NewTimer(c.timeouts.takeover)
	defer timeout.Stop()
	select {
	case <-alive:
		return false
	case <-c.out.ended:
		return false
	case <-c.registry.gone(holder):
	case <-timeout.C:
		c.log.Info("taking over a uid whose connection does not answer", "peer", c.peer.uid)
		c.registry.evict(holder, websocket.ClosePolicyViolation, "uid taken over")
	}
	return true
}

func (c *conn) handle(f frame) {
	m := message{frame: f}
	if !c.peer.inSession.Load() && f.kind == websocket.TextMessage {
		m.command, m.err = signalling.ParseCommand(f.payload)
	}
	switch err := c.registry.handle(c.peer, m); {
	case err != nil:
		c.log.Debug("command refused", "verb", m.command.Verb, "reason", err)
	case m.command.Verb == signalling.VerbRoom && !c.peer.inSession.Load():
		c.log.Debug("joined a room", "room", m.command.ID)
	}
}
