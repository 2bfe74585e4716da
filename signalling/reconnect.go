package signalling

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// A relay may be busy yet with the end of a call when this peer comes back
	// from it, and refuse the uid. For so long that is not worth a word.
	uidPatience = 2 * time.Second
	uidPause    = 100 * time.Millisecond // between attempts
)

var (
	// errPlaceLost is why a connection is given up that cannot have its place again.
	errPlaceLost = fmt.Errorf("%w: what was on its way is known no more", ErrDial)
	// errRefused is why there is no connection to a relay that is there, but does
	// not take this peer. It is ErrDial to others.
	errRefused = fmt.Errorf("%w", ErrDial)
	// errParted is the end of a connection as it is at the end of a call.
	errParted = fmt.Errorf("%w after a call", ErrDisconnected)
	// errCalled is why a connection is given up on which a ROOM went to a peer
	// that had called.
	errCalled = fmt.Errorf("%w that came before a room", errParted)
)

// register opens a connection and says HELLO on it.
func (c *Client) register(ctx context.Context) (*websocket.Conn, Reply, error) {
	ws, err := c.relay.connect(ctx, c.secret, c.received)
	if err != nil {
		return nil, Reply{}, err
	}
	answer, err := hello(ctx, ws, c.uid)
	if err != nil {
		ws.Close()
		return nil, Reply{}, err
	}
	return ws, answer, nil
}

// reconnect gives the next connection, after the loss of one. The error is final.
func (c *Client) reconnect(lost error) (*websocket.Conn, error) {
	c.backlog.disconnect()
	if c.closing.Err() != nil {
		return nil, ErrClosed
	}
	if c.isParting(lost) {
		ws, err := c.registerAnew(lost)
		if err == nil {
			return ws, nil
		}
		if ended, ok := c.endCall(lost); ok {
			c.emit(ended)
		}
		if final := c.finally(err); final != nil {
			return nil, final
		}
		lost = fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	c.sayAway(lost)
	for c.retry.wait(c.closing) {
		ws, err := c.attempt(lost)
		if err == nil {
			return ws, nil
		}
		if final := c.finally(err); final != nil {
			return nil, final
		}
		c.noteFailure("the relay is still away", err)
	}
	return nil, ErrClosed
}

func (c *Client) sayAway(lost error) {
	if c.away {
		c.noteFailure("connected to the relay, but not for long", lost)
		return
	}
	c.away = c.emit(Reconnecting{Cause: lost})
}

// noteFailure logs why the client is not back yet. That the relay is there and
// refuses it may last until somebody does something about it, who has to know.
func (c *Client) noteFailure(failure string, err error) {
	if !isRefusal(err) {
		c.retry.refusedSince = time.Time{}
		c.log.Info(failure, "error", err)
		return
	}
	c.log.Info("cannot come back yet", "error", err)
	if c.retry.refused() {
		c.emit(Refused{Cause: err})
	}
}

func isRefusal(err error) bool {
	return errors.Is(err, ErrUIDRefused) || errors.Is(err, ErrJoin) || errors.Is(err, errRefused)
}

// finally gives the error that ends the client, if a failed attempt does.
func (c *Client) finally(err error) error {
	switch {
	case c.closing.Err() != nil:
		return ErrClosed
	case errors.Is(err, ErrTokenRefused):
		return err
	}
	return nil
}

// isParting tells whether the connection was lost as it is at the end of a call,
// which is no failure. A peer that hung up without a word was not known to have
// called, and what looks so may be a relay that is broken.
func (c *Client) isParting(lost error) bool {
	k := c.currentCall()
	switch {
	case k != nil && k.isHungUp():
		return true
	case !errors.Is(lost, errParted):
		return false
	}
	return k != nil || c.retry.forgive()
}

// registerAnew comes back from a call at once.
func (c *Client) registerAnew(lost error) (*websocket.Conn, error) {
	c.secret = rand.Text() // else a relay that had no notice would resume the call
	c.retry.ended()
	enough := time.Now().Add(uidPatience)
	for {
		ws, err := c.attempt(lost)
		if !errors.Is(err, ErrUIDRefused) || time.Now().After(enough) {
			return ws, err
		}
		select {
		case <-time.After(uidPause):
		case <-c.closing.Done():
		}
	}
}

// attempt tries once to take the place at the relay again, or else a new one.
func (c *Client) attempt(lost error) (*websocket.Conn, error) {
	ws, answer, err := c.register(c.closing)
	switch {
	case err != nil:
		return nil, err
	case !answer.Resumed:
		c.begin(lost)
	case !c.backlog.resume(answer.Received):
		c.giveUpPlace(ws)
		ws.Close()
		return nil, errPlaceLost
	default:
		c.back(Resumed{})
	}
	return ws, nil
}

// begin starts a new registration: with the room, if there was one, or with the
// question that is under way, but without the call.
func (c *Client) begin(lost error) {
	c.restart()
	ended, inCall := c.endCall(lost)
	switch {
	case inCall:
		c.back(ended)
	case c.rejoining == "":
		c.back(Resumed{})
	}
}

func (c *Client) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = 0
	c.rejoining = c.room
	switch {
	case c.room != "":
		c.backlog.restart(VerbRoom + " " + c.room)
	case c.question != nil:
		c.backlog.restart(c.question.command())
	default:
		c.backlog.restart()
	}
}

// giveUpPlace has the next attempt find no place: it will register anew.
func (c *Client) giveUpPlace(ws *websocket.Conn) {
	c.secret = rand.Text()
	sayGoodbye(ws) // else the relay would keep the place, and the uid with it
}

// back says that the client is connected again, if it has said that it was not,
// or if that has ended something.
func (c *Client) back(e Event) {
	_, unchanged := e.(Resumed)
	known := c.away || !unchanged
	c.away, c.rejoining = false, ""
	c.retry.succeeded()
	if known {
		c.emit(e)
	}
}
