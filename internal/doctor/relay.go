package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gstpeer/gstpeer/signalling"
)

// relayTimeout bounds a conversation with a relay.
const relayTimeout = 15 * time.Second

// Relay reports whether a relay is reached and speaks the protocol. It registers
// with a name of its own, unless a token allows only the given one.
func (r *Report) Relay(ctx context.Context, config signalling.ClientConfig) bool {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	given := config.UID
	config.UID = "doctor-" + strings.ToLower(rand.Text())[:12]
	client, err := signalling.Dial(ctx, config)
	if errors.Is(err, signalling.ErrTokenRefused) && config.Token != "" {
		config.UID = given
		client, err = signalling.Dial(ctx, config)
	}
	switch {
	case err == nil:
		client.Close()
		r.Add(OK, "relay: reached, and speaks the protocol")
	case errors.Is(err, signalling.ErrUIDRefused):
		r.Add(Warning, "relay: reached, and speaks the protocol, but %s", Plain(err))
	case ctx.Err() != nil:
		err = fmt.Errorf("no answer within %s: check the address, and the firewalls on the way", relayTimeout)
		fallthrough
	default:
		r.Add(Missing, "relay: %s", Plain(err))
		return false
	}
	return true
}

// Plain is an error without the name of the package that it is from.
func Plain(err error) string {
	for _, prefix := range []string{"signalling: ", "pipeline: "} {
		if text, found := strings.CutPrefix(err.Error(), prefix); found {
			return text
		}
	}
	return err.Error()
}
