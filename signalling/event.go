package signalling

// Event is what a Client gets from the relay while it is in a room: PeerJoined,
// PeerLeft, Message or RelayError. About the connection to the relay itself,
// Reconnecting is followed by Resumed or Rejoined.
type Event interface{ event() }

// PeerJoined says that another peer has joined the room. By convention the
// newcomer makes the offers, so its offer comes next.
type PeerJoined struct{ UID string }

// PeerLeft says that a peer has left the room. All that it sent came before.
type PeerLeft struct{ UID string }

// Message is a text from another member of the room, byte for byte; usually one
// for ParseNegotiation.
type Message struct{ From, Text string }

// RelayError is an ERROR of the relay, mostly about an earlier message to a peer
// that has left meanwhile. The connection stays.
type RelayError struct{ Text string }

// Reconnecting says that the connection to the relay was lost, and why. The
// Client tries to get it back: Resumed or Rejoined comes next, or the error that
// ends the Client. What peers have negotiated already does not need the relay.
type Reconnecting struct{ Cause error }

// Resumed says that the connection is back and nothing has changed: no member of
// the room has noticed anything, what was sent meanwhile goes out, and what
// others sent or did comes next. It also comes to a client that was in no room.
type Resumed struct{}

// Rejoined says that the connection is back as a new registration, which has
// joined the same room. The other members saw this peer leave and come again,
// and what was sent to them meanwhile is lost. Members are those present now;
// whoever else was there has left. As after Join, this peer is the newcomer.
type Rejoined struct{ Members []string }

func (PeerJoined) event()   {}
func (PeerLeft) event()     {}
func (Message) event()      {}
func (RelayError) event()   {}
func (Reconnecting) event() {}
func (Resumed) event()      {}
func (Rejoined) event()     {}
