package signalling

import (
	"context"
	"fmt"
	"unicode/utf8"
)

// Join enters a room, which is made if need be, and returns the members that
// were there before: by convention the newcomer makes each of them an offer. A
// Client can be in one room, and only the first of several Joins may succeed.
// The errors wrap ErrInvalidRoomID, ErrJoin or ErrTokenRefused, or are ErrClosed
// or those of ctx; after the latter the Client is of no further use.
func (c *Client) Join(ctx context.Context, room string) (members []string, err error) {
	if err := CheckRoomID(room); err != nil {
		return nil, err
	}
	answer, err := c.ask(room)
	if err != nil {
		return nil, err
	}
	select {
	case reply := <-answer:
		if reply.Verb == VerbError {
			return nil, fmt.Errorf("%w %q: the relay says: %s", ErrJoin, room, reply.Text)
		}
		return reply.IDs, nil
	case <-c.ended:
		return nil, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask has the relay asked for a room, again after each new registration, until
// it has answered.
func (c *Client) ask(room string) (answer <-chan Reply, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.joining != nil:
		return nil, fmt.Errorf("%w %q: another Join is under way", ErrJoin, room)
	case c.joined:
		return nil, fmt.Errorf("%w %q: already in room %q", ErrJoin, room, c.room)
	}
	if err := c.backlog.pushNow(roomCommand(room)); err != nil {
		return nil, err
	}
	c.room = room
	c.joining = make(chan Reply, 1)
	return c.joining, nil
}

func roomCommand(room string) string { return VerbRoom + " " + room }

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
	if len(message) > MaxMessage {
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrMessage, len(message), MaxMessage)
	}
	if !utf8.ValidString(message) {
		return fmt.Errorf("%w: it is not UTF-8", ErrMessage)
	}
	if !c.inRoom() { // the relay would only answer ERROR
		return c.backlog.refusal(ErrNoRoom)
	}
	return c.backlog.push(ctx, message)
}

func (c *Client) inRoom() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined
}

// handle turns a message of the relay into an event or the answer to Join. An
// error means that the relay does not let the peer into its room again.
func (c *Client) handle(message string) error {
	reply, err := ParseReply(message)
	if err != nil {
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
	case VerbRoomOK, VerbError:
		return c.handleAnswer(reply)
	default:
		c.log.Debug("relay's message not expected", "verb", reply.Verb)
	}
	return nil
}

// handleAnswer takes the answer to the ROOM of a Join or of a new registration.
// An ERROR may be about anything else, too.
func (c *Client) handleAnswer(reply Reply) error {
	switch {
	case c.rejoining != "" && reply.Verb == VerbError:
		return fmt.Errorf("%w %q again: the relay says: %s", ErrJoin, c.rejoining, reply.Text)
	case c.rejoining != "":
		c.back(Rejoined{Members: reply.IDs})
	case c.answerJoin(reply):
	case reply.Verb == VerbError:
		c.emit(RelayError{reply.Text})
	default:
		c.log.Debug("relay's answer without a question", "verb", reply.Verb)
	}
	return nil
}

// answerJoin reports false when no Join waits for an answer.
func (c *Client) answerJoin(reply Reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joining == nil {
		return false
	}
	c.joining <- reply // has a place for it
	c.joining = nil
	if reply.Verb == VerbError {
		c.room = ""
	} else {
		c.joined = true
	}
	return true
}
