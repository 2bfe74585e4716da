package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/gstpeer/gstpeer/internal/iceconfig"
	"github.com/gstpeer/gstpeer/server"
)

// iceFlags are what peers are told about reaching one another.
type iceFlags struct {
	STUN           []string      `name:"stun" placeholder:"URL" help:"STUN server, such as stun:stun.example.org:3478. Repeatable."`
	TURN           []string      `name:"turn" placeholder:"URL" help:"TURN server, such as turn:turn.example.org:3478 or turns:turn.example.org:443?transport=tcp. Repeatable."`
	TURNSecret     string        `name:"turn-secret" placeholder:"SECRET" help:"Secret shared with the TURN servers (static-auth-secret of coturn), for credentials of limited time. Without tokens, anybody gets such credentials."`
	TURNSecretFile string        `name:"turn-secret-file" placeholder:"FILE" help:"File with that secret; a line break at its end does not count."`
	TURNTTL        time.Duration `name:"turn-ttl" default:"24h" placeholder:"DURATION" help:"How long the credentials are good for, unless the peer's token ends before. Default: ${default}."`
}

func (f *iceFlags) ice() (server.ICE, error) {
	secret, err := readSecret("turn-secret", f.TURNSecret, f.TURNSecretFile)
	if err != nil {
		return server.ICE{}, err
	}
	for _, named := range []struct {
		kind iceconfig.Kind
		urls []string
	}{{iceconfig.STUN, f.STUN}, {iceconfig.TURN, f.TURN}} {
		for _, url := range named.urls {
			if _, err := iceconfig.ParseURL(named.kind, url); err != nil {
				return server.ICE{}, fmt.Errorf("--%s: %w", named.kind, err)
			}
		}
	}
	switch {
	case len(f.TURN) > 0 && len(secret) == 0:
		return server.ICE{}, errors.New("--turn wants --turn-secret or --turn-secret-file, the secret that the TURN servers share with the relay")
	case len(f.TURN) == 0 && len(secret) > 0:
		return server.ICE{}, errors.New("--turn-secret and --turn-secret-file want --turn, the URL of a TURN server")
	case f.TURNTTL <= 0:
		return server.ICE{}, fmt.Errorf("--turn-ttl wants more than 0, such as %v, got %v", server.DefaultTURNTTL, f.TURNTTL)
	}
	return server.ICE{STUN: f.STUN, TURN: f.TURN, TURNSecret: string(secret), TURNTTL: f.TURNTTL}, nil
}
