package server

import "github.com/gstpeer/gstpeer/signalling"

// Observer takes samples of a quantity, as a histogram of Prometheus does. It is
// called with locks held, and must neither block nor take long.
type Observer interface{ Observe(float64) }

// measureEvery is how many messages of a peer come to one whose way through the
// relay is timed: reading the clock for each would cost more than it tells.
const measureEvery = 16

// Kind is what a message of a registered peer is for.
type Kind int

// The kinds.
const (
	KindCommand Kind = iota // for the relay
	KindSession             // for the other peer of a session
	KindRoom                // for another member of a room
	kinds
)

// Traffic counts messages, without control frames, and the bytes of their payload.
type Traffic struct{ Messages, Bytes uint64 }

// Stats tell what the relay is doing, and what it has done since it was made.
type Stats struct {
	Connections int // WebSockets, registered or not
	Peers       int // registered, the ones included that are to come back
	Rooms       int
	Sessions    int

	// What waits to be written, to all peers and to the one with the most.
	QueuedMessages, QueuedBytes int
	LongestQueue                int // messages

	Received [kinds]Traffic // by Kind, from registered peers
	Sent     Traffic
}

// Stats takes stock. It holds up no message for longer than it takes to count
// the connections.
func (s *Server) Stats() Stats {
	var stats Stats
	s.registry.atomically(func() {
		stats.Peers, stats.Rooms, stats.Sessions = len(s.registry.peers), len(s.registry.rooms), s.registry.sessions
		for kind, t := range s.registry.received {
			stats.Received[kind] = Traffic{t.messages, t.bytes}
		}
	})
	stats.Connections = s.turnstile.inside()
	s.mu.Lock()
	stats.Sent = Traffic{s.sent.messages, s.sent.bytes}
	outboxes := make([]*outbox, 0, len(s.conns))
	for c := range s.conns {
		outboxes = append(outboxes, c.out)
	}
	s.mu.Unlock()
	for _, o := range outboxes {
		messages, bytes, sent := o.depth()
		stats.QueuedMessages += messages
		stats.QueuedBytes += bytes
		stats.LongestQueue = max(stats.LongestQueue, messages)
		stats.Sent.Messages += sent.messages
		stats.Sent.Bytes += sent.bytes
	}
	return stats
}

// depth is what waits in the outbox, and what has been written.
func (o *outbox) depth() (messages, bytes int, sent tally) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.frames) - o.head, o.bytes, o.sent
}

// kindOf tells what a message of the peer is for. The registry's mutex is held.
func kindOf(p *peer, m message) Kind {
	switch {
	case p.partner != nil:
		return KindSession
	case m.command.Verb == signalling.VerbRoomPeerMsg:
		return KindRoom
	}
	return KindCommand
}
