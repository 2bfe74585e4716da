package server

import "time"

// Patience replaces the protocol's times in tests, so that they need not wait.
type Patience struct {
	Hello, Takeover, Closing, Shutdown time.Duration
}

// NewImpatient is New with other times; those that are 0 stay.
func NewImpatient(config Config, p Patience) (*Server, error) {
	t := defaultTimeouts
	if p.Hello > 0 {
		config.Limits.TimeToHello, config.Limits.TimeToHeaders = p.Hello, p.Hello
	}
	for _, replace := range []struct {
		with time.Duration
		time *time.Duration
	}{
		{p.Takeover, &t.takeover},
		{p.Closing, &t.closing},
		{p.Shutdown, &t.shutdown},
	} {
		if replace.with > 0 {
			*replace.time = replace.with
		}
	}
	return newServer(config, t)
}

// Population tells what the registry holds.
func (s *Server) Population() (peers, rooms int) {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	return len(s.registry.peers), len(s.registry.rooms)
}

// Idle counts the connections that are between two requests.
func (s *Server) Idle() int {
	s.turnstile.mu.Lock()
	defer s.turnstile.mu.Unlock()
	n := 0
	for _, idle := range s.turnstile.idle {
		n += idle.Len()
	}
	return n
}

// Drawn is how much memory the connections hold beyond their shares.
func (s *Server) Drawn() int64 { return s.reserve.used.Load() }

// Suspended counts the peers that have lost their connection.
func (s *Server) Suspended() int {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	n := 0
	for _, p := range s.registry.peers {
		if p.suspended {
			n++
		}
	}
	return n
}
