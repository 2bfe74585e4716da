package server

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/signalling"
)

// refusal is why the relay does not do what a peer asked.
type refusal struct {
	words  string // that the peer is answered with
	reason string // the same without what the peer said, for the log
}

func (r refusal) Error() string { return r.words }

// LogValue keeps what the peer said out of the log: it may be misplaced, and be a
// session description.
func (r refusal) LogValue() slog.Value { return slog.StringValue(r.reason) }

func refuse(format string, args ...any) error {
	told := slices.Clone(args)
	for i, arg := range told {
		if _, text := arg.(string); text {
			told[i] = "…"
		}
	}
	return refusal{fmt.Sprintf(format, args...), fmt.Sprintf(format, told...)}
}

// quotable cuts what came in the place of an id to the length of one.
func quotable(id string) string {
	if len(id) <= signalling.MaxID {
		return id
	}
	return strings.ToValidUTF8(id[:signalling.MaxID], "") + "…"
}

// refuseCommand words the refusal of a command that could not be parsed.
func refuseCommand(c signalling.Command, err error) error {
	switch {
	case errors.Is(err, signalling.ErrInvalidUID):
		return refuse("invalid peer uid")
	case errors.Is(err, signalling.ErrInvalidRoomID):
		return refuse("invalid room id '%s'", quotable(c.ID))
	case errors.Is(err, signalling.ErrMissingArgument) && c.Verb == signalling.VerbSession:
		return refuse("usage: SESSION <uid>")
	case errors.Is(err, signalling.ErrMissingArgument):
		return refuse("usage: ROOM_PEER_MSG <uid> <text>, in a room")
	}
	return refuse("unknown command, want SESSION <uid> or ROOM <room_id>")
}

// errorReply is the message that answers a refused command.
func errorReply(err error) string {
	return signalling.VerbError + " " + err.Error()
}

// Refused says why the relay did not serve somebody, for a count.
type Refused string

// The reasons, each from the first one that applies.
const (
	RefusedConnections  Refused = "connections"             // Limits.MaxConnections
	RefusedAddress      Refused = "connections_per_address" // Limits.MaxConnectionsPerAddress
	RefusedOrigin       Refused = "origin"                  // Config.AllowedOrigins
	RefusedToken        Refused = "token"                   // Config.Tokens: none, a wrong one, or one that does not allow this
	RefusedTokenExpired Refused = "token_expired"           // of a registered peer
	RefusedHeaders      Refused = "time_to_headers"         // Limits.TimeToHeaders
	RefusedHello        Refused = "time_to_hello"           // Limits.TimeToHello
	RefusedUID          Refused = "uid"                     // invalid, or taken
	RefusedProtocol     Refused = "protocol"                // not WebSocket, not UTF-8, or no HELLO at first
	RefusedMessageBytes Refused = "message_bytes"           // Limits.MaxMessageBytes, or what the relay would have to send beyond it
	RefusedMessageRate  Refused = "message_rate"            // Limits.MessagesPerSecond
	RefusedByteRate     Refused = "byte_rate"               // Limits.BytesPerSecond
	RefusedQueue        Refused = "queue"                   // Limits.QueuedMessages, QueuedBytes or QueuedBytesInAll
	RefusedRooms        Refused = "rooms"                   // Limits.MaxRooms
	RefusedRoomPeers    Refused = "room_peers"              // Limits.MaxRoomPeers
)

// refusals counts; the map itself is not written to.
type refusals map[Refused]*atomic.Uint64

func newRefusals() refusals {
	r := refusals{}
	for _, reason := range []Refused{
		RefusedConnections, RefusedAddress, RefusedOrigin, RefusedToken, RefusedTokenExpired, RefusedHeaders,
		RefusedHello, RefusedUID, RefusedProtocol, RefusedMessageBytes, RefusedMessageRate, RefusedByteRate,
		RefusedQueue, RefusedRooms, RefusedRoomPeers,
	} {
		r[reason] = new(atomic.Uint64)
	}
	return r
}

func (r refusals) count(reason Refused) { r[reason].Add(1) }

// countEnd counts an end of a connection that its peer is to blame for.
func (r refusals) countEnd(err error) {
	switch code, _ := closeOf(err); {
	case errors.Is(err, errNoHello):
		r.count(RefusedHello)
	case errors.Is(err, errMessageRate):
		r.count(RefusedMessageRate)
	case errors.Is(err, errByteRate):
		r.count(RefusedByteRate)
	case errors.Is(err, errMemory):
		r.count(RefusedQueue)
	case code == websocket.CloseMessageTooBig:
		r.count(RefusedMessageBytes)
	case code == websocket.CloseProtocolError, code == websocket.CloseInvalidFramePayloadData:
		r.count(RefusedProtocol)
	}
}

// Refusals tells how often each reason has applied so far; all reasons are there.
func (s *Server) Refusals() map[Refused]uint64 {
	counts := make(map[Refused]uint64, len(s.refusals))
	for reason, n := range s.refusals {
		counts[reason] = n.Load()
	}
	return counts
}
