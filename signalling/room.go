package signalling

import (
	"context"
	"fmt"

	"github.com/gorilla/websocket"
)

// Join enters a room, which is made if need be, and returns the members that
// were there before: by convention the newcomer makes each of them an offer. A
// Client can be in one room, for good, and in none during a call. The errors
// wrap ErrInvalidRoomID, ErrJoin or ErrTokenRefused, or are ErrClosed or those
// of ctx; after the latter the Client is of no further use.
func (c *Client) Join(ctx context.Context, room string) (members []string, err error) {
	if err := CheckRoomID(room); err != nil {
		return nil, err
	}
	q := newQuestion(VerbRoom, room)
	if err := c.ask(q, ErrJoin); err != nil {
		return nil, err
	}
	select {
	case <-q.answered:
		if q.reply.Verb == VerbError {
			return nil, fmt.Errorf("%w %q: the relay says: %s", ErrJoin, room, q.reply.Text)
		}
		return q.reply.IDs, nil
	case <-c.ended:
		return nil, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// SendTo sends a text to another member of the room. It returns when the text is
// on its way; that the member has left shows as a RelayError from Recv. It waits
// while 256 others have yet to be written.
//
// While the client reconnects, texts are kept. They go out in order if that ends
// with Resumed, and are lost if it ends with Rejoined: their addressees have then
// seen this peer leave. With 256 kept, another one fails with ErrDisconnected.
//
// The errors wrap ErrInvalidUID, ErrMessage, ErrNoRoom, ErrDisconnected or
// ErrTokenRefused, or are ErrClosed or those of ctx.
func (c *Client) SendTo(ctx context.Context, uid, text string) error {
	if err := CheckUID(uid); err != nil {
		return err
	}
	message := VerbRoomPeerMsg + " " + uid + " " + text
	if err := checkMessage(message); err != nil {
		return err
	}
	if !c.inRoom() { // the relay's ERROR could be taken for a call
		return c.backlog.refusal(ErrNoRoom)
	}
	return c.backlog.push(ctx, anyRegistration, message)
}

func (c *Client) inRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.room != ""
}

// handleInRoom turns a message of the relay into an event. An error means that
// the relay does not let the peer into its room again.
func (c *Client) handleInRoom(kind int, message string) error {
	reply, err := ParseReply(message)
	switch {
	case c.rejoining != "":
		return c.handleRejoin(kind, reply)
	case kind != websocket.TextMessage:
		return nil
	case err != nil:
		c.log.Debug("relay's message not understood", "err", err)
		return nil
	}
	switch reply.Verb {
	case VerbRoomPeerJoined:
		c.emit(PeerJoined{reply.ID})
	case VerbRoomPeerLeft:
		c.emit(PeerLeft{reply.ID})
	case VerbRoomPeerMsg:
		c.emit(Message{reply.ID, reply.Text})
	case VerbError:
		c.emit(RelayError{reply.Text})
	default:
		c.log.Debug("relay's message not expected", "verb", reply.Verb)
	}
	return nil
}

// handleRejoin takes the answer to the ROOM of a new registration. If another
// peer has called before that, the ROOM has gone to it.
func (c *Client) handleRejoin(kind int, reply Reply) error {
	switch {
	case kind == websocket.TextMessage && reply.Verb == VerbRoomOK:
		c.back(Rejoined{Members: reply.IDs})
		return nil
	case kind == websocket.TextMessage && reply.Verb == VerbError:
		return fmt.Errorf("%w %q again: the relay says: %s", ErrJoin, c.rejoining, reply.Text)
	}
	return fmt.Errorf("%w %q again: another peer called first", ErrJoin, c.rejoining)
}
