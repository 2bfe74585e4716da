package main

import (
	"time"

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
	return server.ICE{STUN: f.STUN, TURN: f.TURN, TURNSecret: string(secret), TURNTTL: f.TURNTTL}, err
}
