package signalling

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// acknowledgeEvery messages the relay is asked, by a ping, whether it has them.
const acknowledgeEvery = 16

// serve works on one connection until it ends, and says why.
func (c *Client) serve(ws *websocket.Conn) error {
	parting, part := context.WithCancel(c.closing)
	defer part()
	c.partWith(part)
	var (
		others    sync.WaitGroup
		readEnded = make(chan struct{})
		writeErr  error
	)
	others.Go(func() {
		if writeErr = c.writeLoop(ws, parting, readEnded); writeErr != nil {
			ws.Close() // ends the read loop
		}
	})
	others.Go(func() { cutWhenLate(ws, parting, readEnded) })
	err := c.readLoop(ws)
	if errors.Is(err, ErrJoin) || errors.Is(err, errCalled) {
		c.giveUpPlace(ws)
	}
	close(readEnded)
	ws.Close()
	others.Wait()
	if writeErr != nil && errors.Is(err, net.ErrClosed) {
		return c.explainEnd(writeErr)
	}
	return err
}

// partWith says how HangUp ends the connection, which it may want already.
func (c *Client) partWith(part context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.part = part
	if c.call != nil && c.call.isHungUp() {
		part()
	}
}

// cutWhenLate breaks a connection that takes too long to end properly.
func cutWhenLate(ws *websocket.Conn, parting context.Context, readEnded <-chan struct{}) {
	select {
	case <-parting.Done():
	case <-readEnded:
		return
	}
	late := time.NewTimer(closeTimeout)
	defer late.Stop()
	select {
	case <-late.C:
		ws.NetConn().Close()
	case <-readEnded:
	}
}

func (c *Client) explainEnd(err error) error {
	var closed *websocket.CloseError
	var netErr net.Error
	switch {
	case c.rejoining != "" && errors.As(err, &netErr) && netErr.Timeout():
		return fmt.Errorf("%w %q again: no answer from %s for %v", ErrJoin, c.rejoining, c.relay, dialTimeout)
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		said := strings.TrimSpace(fmt.Sprintf("%d %s", closed.Code, closed.Text))
		why := ErrDisconnected
		if closed.Code == websocket.CloseNormalClosure && !c.inRoom() {
			why = errParted
		}
		return fmt.Errorf("%w: %s closed the connection: %s", why, c.relay, said)
	case errors.As(err, &netErr) && netErr.Timeout():
		return fmt.Errorf("%w: no sign of life from %s for %v", ErrDisconnected, c.relay, 2*c.keepalive)
	}
	return fmt.Errorf("%w: the connection to %s broke: %w", ErrDisconnected, c.relay, err)
}

func (c *Client) readLoop(ws *websocket.Conn) error {
	answerPing := ws.PingHandler()
	ws.SetPingHandler(func(payload string) error {
		c.awaitLife(ws)
		return answerPing(payload)
	})
	ws.SetPongHandler(func(payload string) error {
		c.awaitLife(ws)
		if number, err := strconv.ParseUint(payload, 10, 64); err == nil {
			c.backlog.acknowledge(number)
		}
		return nil
	})
	c.awaitRoom(ws)
	for {
		c.awaitLife(ws)
		kind, message, err := ws.ReadMessage()
		if err != nil {
			return c.explainEnd(err)
		}
		c.received++
		if err := c.handle(kind, string(message)); err != nil {
			return err
		}
	}
}

// awaitRoom gives the relay time to let the peer into its room again. Its signs
// of life do not extend it.
func (c *Client) awaitRoom(ws *websocket.Conn) {
	if c.rejoining != "" {
		_ = ws.SetReadDeadline(time.Now().Add(dialTimeout)) // as in awaitLife
	}
}

// awaitLife gives the relay time for its next sign of life.
func (c *Client) awaitLife(ws *websocket.Conn) {
	if c.rejoining == "" {
		// An error means that the socket is closed: the next read says so.
		_ = ws.SetReadDeadline(time.Now().Add(2 * c.keepalive))
	}
}

// handle takes a message. Whose it is depends on where the peer is. An error ends
// the connection.
func (c *Client) handle(kind int, message string) error {
	switch {
	case c.currentCall() != nil:
		c.handleInCall(kind, message)
		return nil
	case c.inRoom():
		return c.handleInRoom(kind, message)
	}
	return c.handleOutside(kind, message)
}

// writeLoop writes the backlog until the connection ends or is to end.
func (c *Client) writeLoop(ws *websocket.Conn, parting context.Context, readEnded <-chan struct{}) error {
	keepalive := time.NewTicker(c.keepalive)
	defer keepalive.Stop()
	asked := c.backlog.sent()
	for {
		var err error
		if message, ok := c.backlog.next(); ok {
			err = write(ws, websocket.TextMessage, message)
			if sent := c.backlog.sent(); err == nil && sent >= asked+acknowledgeEvery {
				asked = sent
				err = c.ping(ws)
			}
		} else {
			select {
			case <-c.backlog.wake:
			case <-keepalive.C:
				err = c.ping(ws)
			case <-parting.Done():
				return c.writeLast(ws)
			case <-readEnded:
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// ping asks the relay for a sign of life, which comes after it has read all
// that was written before.
func (c *Client) ping(ws *websocket.Conn) error {
	return write(ws, websocket.PingMessage, strconv.FormatUint(c.backlog.sent(), 10))
}

// writeLast writes what is left, and the close frame.
func (c *Client) writeLast(ws *websocket.Conn) error {
	for {
		message, ok := c.backlog.next()
		if !ok {
			sayGoodbye(ws)
			return nil
		}
		if err := write(ws, websocket.TextMessage, message); err != nil {
			return err
		}
	}
}

// sayGoodbye writes a close frame, if the relay still reads: the end of the
// connection follows in any case.
func sayGoodbye(ws *websocket.Conn) {
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(writeTimeout))
}

func write(ws *websocket.Conn, kind int, payload string) error {
	if err := ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return ws.WriteMessage(kind, []byte(payload))
}
