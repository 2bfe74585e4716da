package server

import (
	"maps"
	"slices"
	"time"
)

// drainStep is the time between the groups of peers that are told to go.
const drainStep = 50 * time.Millisecond

// Ready tells whether the relay takes new peers: until Serve is told to end, or
// Close is called.
func (s *Server) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && !s.draining
}

// drain takes no more peers and tells those that are there to go, evenly over
// Config.Drain, so that they do not come back elsewhere all at once. It returns
// when all are told or gone, be it to come back; Close does the rest.
func (s *Server) drain() {
	s.mu.Lock()
	s.draining = true
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	if s.config.Drain == 0 {
		return
	}
	conns = slices.DeleteFunc(conns, func(c *conn) bool { return s.registry.expire(c.peer) }) // who is away cannot come back any more
	s.log.Info("draining", "connections", len(conns), "over", s.config.Drain)
	began := time.Now()
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	for told := 0; told < len(conns) && s.turnstile.inside() > 0; {
		<-tick.C
		passed := min(1, float64(time.Since(began))/float64(s.config.Drain))
		due := int(passed * float64(len(conns)))
		s.dismissTogether(conns[told:due])
		told = due
	}
}

// dismissTogether tells peers to go, and with each the other one of its session:
// else that would hear 1000, the end of the session, and not come back.
func (s *Server) dismissTogether(conns []*conn) {
	s.registry.atomically(func() {
		for _, c := range conns {
			s.dismiss(c.out)
			if partner := c.peer.partner; partner != nil {
				s.dismiss(partner.out)
			}
		}
	})
}
