package server

import (
	"errors"
	"fmt"

	"github.com/gstpeer/gstpeer/signalling"
)

// refusal is why the relay does not do what a peer asked, in the words that the
// peer is answered with.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error {
	return refusal(fmt.Sprintf(format, args...))
}

// refuseCommand words the refusal of a command that could not be parsed.
func refuseCommand(c signalling.Command, err error) error {
	switch {
	case errors.Is(err, signalling.ErrInvalidUID):
		return refusal("invalid peer uid")
	case errors.Is(err, signalling.ErrInvalidRoomID):
		return refuse("invalid room id '%s'", c.ID)
	case errors.Is(err, signalling.ErrMissingArgument) && c.Verb == signalling.VerbSession:
		return refusal("usage: SESSION <uid>")
	case errors.Is(err, signalling.ErrMissingArgument):
		return refusal("usage: ROOM_PEER_MSG <uid> <text>, in a room")
	}
	return refusal("unknown command, want SESSION <uid> or ROOM <room_id>")
}

// errorReply is the message that answers a refused command.
func errorReply(err error) string {
	return signalling.VerbError + " " + err.Error()
}
