package signalling

// Event is what a Client gets from the relay. In a room it is PeerJoined,
// PeerLeft, Message or RelayError; in a call it is CallMessage, and CallEnded is
// its end. About the connection to the relay itself, Reconnecting is followed by
// Resumed, if nothing has changed, else by Rejoined in a room, or by CallEnded in
// a call, and perhaps by Refused before that.
type Event interface{ event() }

// PeerJoined says that another peer has joined the room. By convention the
// newcomer makes the offers, so its offer comes next.
type PeerJoined struct{ UID string }

// PeerLeft says that a peer has left the room. All that it sent came before.
type PeerLeft struct{ UID string }

// Message is a text from another member of the room, byte for byte; usually one
// for ParseNegotiation.
type Message struct{ From, Text string }

// RelayError is an ERROR of the relay to a member of a room, mostly about an
// earlier message to a peer that has left meanwhile. The connection stays.
type RelayError struct{ Text string }

// CallMessage is a text from the other peer of the call, byte for byte and in
// order, whatever it says; usually one for ParseNegotiation. The first one to a
// Client that is in no room and has made no Call is how it learns that it is
// called: Send answers. Binary messages mean nothing between peers that
// negotiate, and are dropped.
type CallMessage struct{ Text string }

// CallEnded says that the call has ended, once for each. Cause wraps ErrPeerLeft,
// ErrHungUp, or the ErrDisconnected of the Reconnecting before it. All that the
// other peer has said came before, unless this one hung up.
//
// The Client has registered again and is ready for the next call. In two cases
// Reconnecting is next to CallEnded:
//
//   - before it, if the relay had gone, and with it the call;
//   - behind it, if the call ended otherwise and the relay does not take the
//     Client back at once. Resumed follows when it has.
//
// A caller that hung up before it said anything was not known to have called:
// there is no event, but perhaps Reconnecting and Resumed.
type CallEnded struct{ Cause error }

// Reconnecting says that the connection to the relay was lost, and why. The
// Client tries to get it back: Resumed, Rejoined or CallEnded comes next, or the
// error that ends the Client, and before them Refused if the relay is there and
// does not take the Client back for long. What peers have negotiated already does
// not need the relay.
type Reconnecting struct{ Cause error }

// Refused says that the relay is there again and has refused the Client for half
// a minute or more, and why: Cause wraps ErrUIDRefused, ErrJoin, or ErrDial for
// a relay that is full or whose certificate is not trusted. The Client tries on,
// and Refused comes again as long as that is so, every half a minute at most. A
// uid may have been taken by another peer meanwhile, and is free when that leaves.
type Refused struct{ Cause error }

// Resumed says that the connection is back and nothing has changed: no member of
// the room, nor the other peer of the call, has noticed anything, what was sent
// meanwhile goes out, and what others sent or did comes next. It also comes to a
// client that was in neither.
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
func (CallMessage) event()  {}
func (CallEnded) event()    {}
func (Reconnecting) event() {}
func (Refused) event()      {}
func (Resumed) event()      {}
func (Rejoined) event()     {}
