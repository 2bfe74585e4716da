package signalling

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gorilla/websocket"
)

var (
	// ErrCall is wrapped by Call when there is no call.
	ErrCall = errors.New("signalling: cannot call")
	// ErrPeerNotFound is wrapped, and wraps ErrCall, when the relay knows no peer
	// with that uid.
	ErrPeerNotFound = fmt.Errorf("%w unknown peer", ErrCall)
	// ErrPeerBusy is wrapped, and wraps ErrCall, when the peer is in a call or in
	// a room. The original relay does not know, and ends that call.
	ErrPeerBusy = fmt.Errorf("%w busy peer", ErrCall)
	// ErrNoCall is wrapped by Send and HangUp outside a call.
	ErrNoCall = errors.New("signalling: not in a call")
	// ErrPeerLeft is wrapped by the Cause of CallEnded when the other peer hung
	// up, or was gone for too long.
	ErrPeerLeft = errors.New("signalling: the other peer has left the call")
	// ErrHungUp is wrapped by the Cause of CallEnded when it was this peer.
	ErrHungUp = errors.New("signalling: hung up")
)

// call is a session with one other peer. A registration has one at most: only
// the end of a connection ends a session.
type call struct {
	registration int           // that its texts are for
	hungUp       chan struct{} // closed by hangUp
	over         chan struct{} // closed before CallEnded is given
}

// newCall is called with mu held.
func (c *Client) newCall() *call {
	return &call{
		registration: c.backlog.current(),
		hungUp:       make(chan struct{}),
		over:         make(chan struct{}),
	}
}

// hangUp is called with the client's mu held. It may be called repeatedly.
func (k *call) hangUp() {
	if !k.isHungUp() {
		close(k.hungUp)
	}
}

func (k *call) isHungUp() bool {
	select {
	case <-k.hungUp:
		return true
	default:
		return false
	}
}

// cause is why the call has ended, given what has ended the connection.
func (k *call) cause(lost error) error {
	switch {
	case k.isHungUp():
		return ErrHungUp
	case errors.Is(lost, errParted):
		return ErrPeerLeft
	}
	return lost
}

// Call calls another peer, and returns when it is connected with that one: Send
// sends to it, what it says comes from Recv, and either ends with CallEnded. The
// callee has no notice of a call but the first text: the caller's offer, or
// OfferRequest to have the callee make one. The relay does not tell the callee
// who calls.
//
// A Client that calls at the moment in which another peer calls it may be
// connected with that one. Then Call fails with ErrCall, and CallMessage follows.
//
// If ctx ends first the call is hung up, and CallEnded says when. The errors wrap
// ErrInvalidUID, ErrCall, with ErrPeerNotFound or ErrPeerBusy if that is what the
// relay says, or ErrTokenRefused, or are ErrClosed or those of ctx.
func (c *Client) Call(ctx context.Context, uid string) error {
	if err := CheckUID(uid); err != nil {
		return err
	}
	if uid == c.uid {
		return fmt.Errorf("%w %q: that is this peer itself", ErrCall, uid)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	q := newQuestion(VerbSession, uid)
	if err := c.ask(q, ErrCall); err != nil {
		return err
	}
	select {
	case <-q.answered:
	case <-c.ended:
		return c.err
	case <-ctx.Done():
		if c.abandon(q) {
			return ctx.Err()
		}
	}
	if q.err == nil && q.reply.Verb == VerbError {
		return refusedCall(uid, q.reply.Text)
	}
	return q.err
}

// refusedCall reads why the relay refuses a call. The original relay may quote
// the uid in other ways than this one.
func refusedCall(uid, reason string) error {
	why := ErrCall
	if strings.HasPrefix(reason, "peer ") {
		switch {
		case strings.HasSuffix(reason, " not found"):
			why = ErrPeerNotFound
		case strings.HasSuffix(reason, " busy"):
			why = ErrPeerBusy
		}
	}
	return fmt.Errorf("%w %q: the relay says: %s", why, uid, reason)
}

// abandon hangs up before the relay has answered. It reports false when it has.
func (c *Client) abandon(q *question) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.question != q {
		return false
	}
	c.question = nil
	c.call = c.newCall()
	c.call.hangUp()
	c.part()
	return true
}

// Send sends a text to the other peer of the call, usually a Negotiation. It
// returns when the text is on its way, and waits while 256 others have yet to be
// written. What is on its way when the other peer leaves is lost.
//
// While the client reconnects, texts are kept. They go out in order if that ends
// with Resumed, and are lost with the call if it ends with CallEnded. With 256
// kept, another one fails with ErrDisconnected.
//
// The errors wrap ErrMessage, ErrNoCall, ErrDisconnected or ErrTokenRefused, or
// are ErrClosed or those of ctx.
func (c *Client) Send(ctx context.Context, text string) error {
	if err := checkMessage(text); err != nil {
		return err
	}
	k := c.currentCall()
	if k == nil || k.isHungUp() {
		return c.backlog.refusal(ErrNoCall)
	}
	return c.backlog.push(ctx, k.registration, text)
}

// HangUp ends the call: it sends what Send has taken, says goodbye to the relay,
// which takes 2 s if that does not answer, and registers again. While the client
// reconnects it waits for that first. When it returns, the client can make and
// take the next call, and CallEnded is the next event but those that came before
// HangUp. What the other peer says from then on is lost.
//
// The errors wrap ErrNoCall or ErrTokenRefused, or are ErrClosed or those of ctx;
// after the latter the call is hung up all the same, and CallEnded says when. It
// may be called from several goroutines, and from the one that calls Recv.
func (c *Client) HangUp(ctx context.Context) error {
	k := c.hangUp()
	if k == nil {
		return c.backlog.refusal(ErrNoCall)
	}
	select {
	case <-k.over:
		return nil
	case <-c.ended:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) hangUp() *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call != nil {
		c.call.hangUp()
		c.part()
	}
	return c.call
}

func (c *Client) currentCall() *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.call
}

// hungUp gives a channel that is closed when HangUp has ended the call, nil
// outside a call.
func (c *Client) hungUp() <-chan struct{} {
	if k := c.currentCall(); k != nil {
		return k.hungUp
	}
	return nil
}

// handleOutside takes a message to a peer that is in no room and no call: the
// answer to its question, or else the first that another peer says in a call.
func (c *Client) handleOutside(kind int, message string) error {
	if kind == websocket.TextMessage {
		reply, err := ParseReply(message)
		if err == nil && c.answer(reply) {
			return nil
		}
	}
	if !c.pickUp() {
		return errCalled
	}
	c.handleInCall(kind, message)
	return nil
}

// pickUp notes that another peer has called: a question that was under way has
// gone to it. It reports false when that was a ROOM, which is asked again.
func (c *Client) pickUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.question
	switch {
	case c.call != nil: // Call has been given up meanwhile
		return true
	case q != nil && q.verb == VerbRoom:
		return false
	case q != nil:
		c.question = nil
		q.settle(Reply{}, fmt.Errorf("%w %q: another peer has called first", ErrCall, q.id))
	}
	c.call = c.newCall()
	return true
}

// handleInCall takes what the other peer says, whatever it is.
func (c *Client) handleInCall(kind int, message string) {
	if kind != websocket.TextMessage {
		c.log.Debug("binary message of the other peer dropped", "bytes", len(message))
		return
	}
	c.emit(CallMessage{message})
}

// endCall ends the call, and gives what is to be said of it. It reports false
// when there is none.
func (c *Client) endCall(lost error) (CallEnded, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.call
	if k == nil {
		return CallEnded{}, false
	}
	c.call = nil
	close(k.over)
	return CallEnded{Cause: k.cause(lost)}, true
}
