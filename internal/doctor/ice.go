package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"github.com/gstpeer/gstpeer/internal/iceconfig"
)

const (
	iceTimeout = 5 * time.Second
	stunRetry  = 500 * time.Millisecond
)

// ICEServer reports whether a STUN or TURN server does what it is there for, at
// each of its addresses, and returns whether one of them does.
func (r *Report) ICEServer(ctx context.Context, server iceconfig.Server, otherwise Level) (works bool) {
	if server.TLS {
		r.Add(Warning, "%s is passed over: GStreamer's ICE library cannot use TLS", server)
		return false
	}
	addresses, err := server.Addresses(ctx)
	if err != nil {
		r.Add(otherwise, "%s: %s: check the name", server, err)
		return false
	}
	for _, address := range addresses {
		ask, what := askSTUN, "is reached, and sees this machine as"
		if server.Kind == iceconfig.TURN {
			ask, what = askTURN, "takes the credentials, and relays at"
		}
		found, err := ask(ctx, server, address)
		if err != nil {
			r.Add(otherwise, "%s at %s: %s", server, address.Addr(), err)
			continue
		}
		r.Add(OK, "%s at %s %s %s", server, address.Addr(), what, found)
		works = true
	}
	return works
}

// askSTUN asks at what address this machine is seen (RFC 8489).
func askSTUN(ctx context.Context, _ iceconfig.Server, at netip.AddrPort) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, iceTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "udp", at.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return "", err
	}
	answer := make([]byte, 1500)
	var refused error
	for ctx.Err() == nil {
		if _, err := conn.Write(request.Raw); err != nil {
			refused = err
		}
		if err := conn.SetReadDeadline(time.Now().Add(stunRetry)); err != nil {
			return "", err
		}
		n, err := conn.Read(answer)
		if err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				return "", fmt.Errorf("nothing listens there: check address and port: %w", err)
			}
			continue
		}
		if seen, ok := mapped(answer[:n], request.TransactionID); ok {
			return seen, nil
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", errSilent("UDP")
}

// mapped reads the answer to a binding request.
func mapped(answer []byte, transaction [stun.TransactionIDSize]byte) (string, bool) {
	message := &stun.Message{Raw: answer}
	if message.Decode() != nil || message.TransactionID != transaction || message.Type != stun.BindingSuccess {
		return "", false
	}
	var xored stun.XORMappedAddress
	if xored.GetFrom(message) == nil {
		return xored.String(), true
	}
	var plain stun.MappedAddress // of a server of RFC 3489
	if plain.GetFrom(message) == nil {
		return plain.String(), true
	}
	return "", false
}

func errSilent(transport string) error {
	return fmt.Errorf("no answer within %s: check address and port, and whether firewalls on the way let %s through", iceTimeout, transport)
}

// askTURN asks for an address that relays (RFC 8656), and gives it back.
func askTURN(ctx context.Context, server iceconfig.Server, at netip.AddrPort) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, iceTimeout)
	defer cancel()
	conn, transport, err := dialTURN(ctx, server, at)
	if err != nil {
		return "", err
	}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: at.String(), Conn: conn, LoggerFactory: quiet,
		Username: server.Username, Password: server.Credential,
		RequestedAddressFamily: turn.RequestedAddressFamilyIPv4, // as libnice asks
	})
	if err != nil {
		conn.Close()
		return "", err
	}
	defer conn.Close()
	defer client.Close()
	if err := client.Listen(); err != nil {
		return "", err
	}
	relayed, err := client.AllocateWithContext(ctx)
	var answered *stun.TurnError
	switch {
	case err == nil:
		defer relayed.Close()
		return relayed.LocalAddr().String(), nil
	case errors.As(err, &answered):
		return "", explainTURN(answered.ErrorCodeAttr)
	case ctx.Err() != nil:
		return "", errSilent(transport)
	}
	return "", fmt.Errorf("its answer is not that of a TURN server: %w", err)
}

func dialTURN(ctx context.Context, server iceconfig.Server, at netip.AddrPort) (conn net.PacketConn, transport string, err error) {
	if server.TCP {
		stream, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
		if err != nil {
			return nil, "", fmt.Errorf("nothing is reached there by TCP: check address and port: %w", err)
		}
		return turn.NewSTUNConn(stream), "TCP", nil
	}
	conn, err = new(net.ListenConfig).ListenPacket(ctx, "udp", ":0")
	return conn, "UDP", err
}

// explainTURN says what to do about an answer of RFC 8656, section 19. Its reason
// is not for a terminal: anybody can have written it.
func explainTURN(answer stun.ErrorCodeAttribute) error {
	switch answer.Code {
	case stun.CodeUnauthorized, stun.CodeWrongCredentials, stun.CodeForbidden:
		return fmt.Errorf("it refuses the credentials (error %d): check user and password, or the secret that it shares with the relay", answer.Code)
	case stun.CodeAllocQuotaReached, stun.CodeInsufficientCapacity:
		return fmt.Errorf("it has no more room (error %d): try again later, or raise its quota", answer.Code)
	}
	return fmt.Errorf("it refuses (error %d)", answer.Code)
}
