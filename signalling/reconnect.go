package signalling

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/gorilla/websocket"
)

// errPlaceLost is why a connection is given up that cannot have its place again.
var errPlaceLost = fmt.Errorf("%w: what was on its way is known no more", ErrDial)

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
	switch {
	case c.closing.Err() != nil:
		return nil, ErrClosed
	case c.away:
		c.log.Info("connected to the relay, but not for long", "error", lost)
	default:
		c.away = true
		c.emit(Reconnecting{Cause: lost})
	}
	for c.retry.wait(c.closing) {
		ws, err := c.attempt()
		switch {
		case err == nil:
			return ws, nil
		case errors.Is(err, ErrTokenRefused):
			return nil, err
		case c.closing.Err() != nil:
			return nil, ErrClosed
		}
		c.log.Info("the relay is still away", "error", err)
	}
	return nil, ErrClosed
}

// attempt tries once to take the place at the relay again, or else a new one.
func (c *Client) attempt() (*websocket.Conn, error) {
	ws, answer, err := c.register(c.closing)
	switch {
	case err != nil:
		return nil, err
	case !answer.Resumed:
		c.begin()
	case !c.backlog.resume(answer.Received):
		c.giveUpPlace(ws)
		ws.Close()
		return nil, errPlaceLost
	}
	if c.rejoining == "" {
		c.back(Resumed{})
	}
	return ws, nil
}

// begin starts a new registration: with the room, if there was one.
func (c *Client) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = 0
	c.rejoining = ""
	if c.joined {
		c.rejoining = c.room
	}
	if c.room == "" {
		c.backlog.restart()
	} else {
		c.backlog.restart(roomCommand(c.room))
	}
}

// giveUpPlace has the next attempt find no place: it will register anew.
func (c *Client) giveUpPlace(ws *websocket.Conn) {
	c.secret = rand.Text()
	sayGoodbye(ws) // else the relay would keep the place, and the uid with it
}

func (c *Client) back(e Event) {
	c.away, c.rejoining = false, ""
	c.retry.succeeded()
	c.emit(e)
}
