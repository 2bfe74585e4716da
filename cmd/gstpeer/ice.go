package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gstpeer/gstpeer/internal/cli"
	"github.com/gstpeer/gstpeer/internal/iceconfig"
	"github.com/gstpeer/gstpeer/pipeline"
	"github.com/gstpeer/gstpeer/server"
)

// iceServers are the STUN and TURN servers: those that flags name, or those that
// the relay names, which change.
type iceServers struct {
	settings *settings
	source   iceconfig.Source
	follower *iceconfig.Follower // nil for those that do not change
	had      bool                // the relay has named some; owned by take
	use      func(pipeline.ICEServers)
}

// openICEServers finds the servers to begin with.
func (s *settings) openICEServers(ctx context.Context) (*iceServers, error) {
	i := &iceServers{settings: s, use: func(servers pipeline.ICEServers) { s.media.Servers = servers }}
	if len(s.iceServers) > 0 {
		servers, missing := locate(ctx, s.iceServers)
		i.use(servers)
		return i, missing
	}
	if s.flags.Server == "" {
		return i, nil // the built-in relay names none
	}
	i.source = iceconfig.Source{URL: s.relay, UID: s.name, Token: s.token, TLS: s.tls, Log: s.log}
	i.follower = iceconfig.NewFollower(s.log, i.take)
	err := i.follower.First(ctx)
	relayOnly := s.media.Network.RelayOnly && len(s.media.Servers.TURN) == 0
	switch {
	case err != nil && relayOnly:
		return nil, fmt.Errorf("--ice-policy relay: no TURN server: %w", err)
	case relayOnly:
		return nil, cli.UsageError{Err: errors.New("--ice-policy relay: the relay names no TURN server that can be used: name one with --turn")}
	case err != nil:
		s.log.Warn("going on without the relay's STUN and TURN servers, will ask again", "error", err)
	}
	return i, nil
}

// run keeps the servers as new as they have to be.
func (i *iceServers) run(ctx context.Context, use func(pipeline.ICEServers)) {
	if i.follower != nil {
		i.use = use
		i.follower.Run(ctx)
	}
}

// relayIsBack has the servers asked for anew.
func (i *iceServers) relayIsBack() {
	if i.follower != nil {
		i.follower.Refresh()
	}
}

// take asks the relay, and puts to use what it names.
func (i *iceServers) take(ctx context.Context) (time.Duration, error) {
	c, err := i.source.Fetch(ctx)
	switch {
	case errors.Is(err, iceconfig.ErrNone) && !i.had:
		i.settings.log.Debug("no ICE servers from the relay", "error", err)
		return 0, nil
	case err != nil:
		return 0, err
	}
	i.had = i.had || len(c.Servers) > 0
	servers, missing := locate(ctx, c.Servers)
	if ctx.Err() == nil {
		i.use(servers)
	}
	return c.Lifetime, missing
}

// toldICE is what the built-in relay tells its peers: the STUN server. The password
// of a TURN server is not for everybody who opens the page.
func (s *settings) toldICE() server.ICE {
	var told server.ICE
	for _, named := range s.iceServers {
		if named.Kind == iceconfig.STUN {
			told.STUN = append(told.STUN, named.String())
		}
	}
	return told
}
