package signalling

// Event is what a Client gets from the relay while it is in a room: PeerJoined,
// PeerLeft, Message or RelayError.
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

func (PeerJoined) event() {}
func (PeerLeft) event()   {}
func (Message) event()    {}
func (RelayError) event() {}
