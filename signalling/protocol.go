// Package signalling is the protocol of GStreamer's WebRTC examples: its words,
// the limits of what may be said, the texts of a negotiation, and a Client that
// joins a room of a relay, or is in calls.
//
// A peer registers with a uid (HELLO) and then either calls one other peer
// (SESSION) or joins a room of many (ROOM). The relay carries the peers' texts
// and never reads them.
package signalling

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The first word of a message says what it is. Peers send the commands, the
// relay the replies; Hello, RoomPeerMsg and RoomPeerList go both ways.
const (
	VerbHello          = "HELLO"
	VerbSession        = "SESSION"
	VerbSessionOK      = "SESSION_OK"
	VerbRoom           = "ROOM"
	VerbRoomOK         = "ROOM_OK"
	VerbRoomPeerJoined = "ROOM_PEER_JOINED"
	VerbRoomPeerLeft   = "ROOM_PEER_LEFT"
	VerbRoomPeerMsg    = "ROOM_PEER_MSG"
	VerbRoomPeerList   = "ROOM_PEER_LIST"
	VerbError          = "ERROR"
)

// OfferRequest is what a caller sends, as a text of the session, to have the
// callee make the offer.
const OfferRequest = "OFFER_REQUEST"

// Limits of the protocol, in bytes.
const (
	MaxMessage = 1 << 20 // one WebSocket message of a peer
	MaxID      = 1024    // a uid or a room id
)

// Role is what a peer asks to be in the query of the relay's URL.
type Role string

// RoleViewer is a receive-only peer: the viewers of a room neither see nor
// message one another. The empty Role is a full peer.
const RoleViewer Role = "viewer"

// QueryRole is the name of the query parameter that carries the Role.
const QueryRole = "role"

var (
	// ErrInvalidUID is wrapped by errors about a uid that is empty, longer than
	// MaxID, or has white space in it.
	ErrInvalidUID = errors.New("signalling: invalid uid")
	// ErrInvalidRoomID is wrapped by errors about a room id that is empty,
	// longer than MaxID, has white space in it, or is the reserved "session".
	ErrInvalidRoomID = errors.New("signalling: invalid room id")
	// ErrMissingArgument is wrapped when a known command lacks an argument.
	ErrMissingArgument = errors.New("signalling: missing argument")
	// ErrUnknownCommand is wrapped when a message is not a command of a peer.
	ErrUnknownCommand = errors.New("signalling: unknown command")
	// ErrUnknownReply is wrapped when a message is not a reply of a relay.
	ErrUnknownReply = errors.New("signalling: unknown reply")
)

// CheckUID returns nil for a uid that can be registered, else an error that
// wraps ErrInvalidUID.
func CheckUID(uid string) error {
	return checkID(uid, ErrInvalidUID)
}

// CheckRoomID returns nil for a room id that can be joined, else an error that
// wraps ErrInvalidRoomID.
func CheckRoomID(room string) error {
	if room == "session" {
		return fmt.Errorf("%w: %q is reserved", ErrInvalidRoomID, room)
	}
	return checkID(room, ErrInvalidRoomID)
}

func checkID(id string, invalid error) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: it is empty", invalid)
	case len(id) > MaxID:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", invalid, len(id), MaxID)
	case strings.ContainsFunc(id, unicode.IsSpace):
		return fmt.Errorf("%w: %q has white space in it", invalid, id)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: %q is not UTF-8", invalid, id)
	}
	return nil
}

// Command is what a peer says to the relay.
type Command struct {
	Verb string // VerbHello, VerbSession, VerbRoom, VerbRoomPeerMsg or VerbRoomPeerList
	ID   string // a uid; with VerbRoom a room id; empty with VerbRoomPeerList
	Text []byte // with VerbRoomPeerMsg: the text for the peer, a part of the parsed message
}

// ParseCommand reads a message of a peer that is in no session. The verb is the
// exact first word. The ID of a failed HELLO, SESSION or ROOM is set also when
// an error is returned, so that the answer can name it.
func ParseCommand(message []byte) (Command, error) {
	verb, rest := cutWord(message)
	rest = bytes.TrimLeftFunc(rest, unicode.IsSpace)
	switch string(verb) {
	case VerbHello:
		c := Command{Verb: VerbHello, ID: string(rest)}
		return c, CheckUID(c.ID)
	case VerbRoom:
		c := Command{Verb: VerbRoom, ID: string(rest)}
		return c, CheckRoomID(c.ID)
	case VerbSession:
		c := Command{Verb: VerbSession, ID: string(rest)}
		if c.ID == "" {
			return c, fmt.Errorf("%w: %s wants a uid", ErrMissingArgument, VerbSession)
		}
		return c, nil
	case VerbRoomPeerMsg:
		uid, text, ok := cutAddressee(rest)
		if !ok {
			return Command{Verb: VerbRoomPeerMsg}, fmt.Errorf("%w: %s wants a uid and a text", ErrMissingArgument, VerbRoomPeerMsg)
		}
		return Command{Verb: VerbRoomPeerMsg, ID: string(uid), Text: text}, nil
	case VerbRoomPeerList:
		if len(rest) == 0 {
			return Command{Verb: VerbRoomPeerList}, nil
		}
	}
	return Command{}, fmt.Errorf("%w: %q", ErrUnknownCommand, abridge(message))
}

// Reply is what the relay says to a peer.
type Reply struct {
	Verb string
	ID   string   // the uid of RoomPeerJoined, RoomPeerLeft and RoomPeerMsg (there the sender)
	IDs  []string // the other members with a valid uid: RoomOK and RoomPeerList
	Text string   // of RoomPeerMsg, byte for byte, and of Error

	// Resumed is set with Hello when the peer has its place again, and Received
	// is then how many of its messages the relay has.
	Resumed  bool
	Received uint64
}

// ParseReply reads a message of the relay to a peer that is in no session. An
// error wraps ErrUnknownReply or ErrInvalidUID.
func ParseReply(message string) (Reply, error) {
	word, rest := cutWord([]byte(message))
	r := Reply{Verb: string(word)}
	arguments := strings.TrimLeftFunc(string(rest), unicode.IsSpace)
	switch r.Verb {
	case VerbHello:
		if hello, ok := parseHello(arguments); ok {
			return hello, nil
		}
	case VerbSessionOK:
		if arguments == "" {
			return r, nil
		}
	case VerbRoomOK, VerbRoomPeerList:
		r.IDs = slices.DeleteFunc(strings.Fields(arguments), func(uid string) bool { return CheckUID(uid) != nil })
		return r, nil
	case VerbRoomPeerJoined, VerbRoomPeerLeft:
		r.ID = arguments
		return r, CheckUID(r.ID)
	case VerbRoomPeerMsg:
		if uid, text, ok := cutAddressee([]byte(arguments)); ok {
			r.ID, r.Text = string(uid), string(text)
			return r, CheckUID(r.ID)
		}
	case VerbError:
		r.Text = arguments
		return r, nil
	}
	return Reply{}, fmt.Errorf("%w: %q", ErrUnknownReply, abridge([]byte(message)))
}

// cutWord splits a message after its first word. A message that begins with
// white space has an empty first word, which is no verb.
func cutWord(message []byte) (word, rest []byte) {
	if i := bytes.IndexFunc(message, unicode.IsSpace); i >= 0 {
		return message[:i], message[i:]
	}
	return message, nil
}

// cutAddressee splits "uid text". Exactly one white space ends the uid, so that
// the text keeps its own, leading ones included.
func cutAddressee(arguments []byte) (uid, text []byte, ok bool) {
	uid, rest := cutWord(arguments)
	if len(uid) == 0 || len(rest) == 0 {
		return nil, nil, false
	}
	_, size := utf8.DecodeRune(rest)
	return uid, rest[size:], true
}

// abridge keeps a foreign message short enough for an error: what follows the
// first words may be a session description, which belongs in no log.
func abridge(message []byte) string {
	const enough = 32
	if len(message) > enough {
		return string(message[:enough]) + "…"
	}
	return string(message)
}
