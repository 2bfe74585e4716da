package signalling

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// relayURL reads the address of a relay as a user writes it. http and https,
// the addresses of the relay's page, stand for ws and wss.
func relayURL(address string, role Role) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return nil, fmt.Errorf("%w: want ws://host:port or wss://host:port, got %q", ErrURL, address)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("%w: %q names no host, want ws://host:port or wss://host:port", ErrURL, address)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: a user name or password in it is not supported", ErrURL)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment = ""
	if role != "" {
		query := u.Query()
		query.Set(QueryRole, string(role))
		u.RawQuery = query.Encode()
	}
	return u, nil
}

// connect opens the WebSocket.
func connect(ctx context.Context, u *url.URL, config *tls.Config) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
		Proxy:            http.ProxyFromEnvironment,
		HandshakeTimeout: dialTimeout,
		TLSClientConfig:  config,
	}
	ws, response, err := dialer.DialContext(ctx, u.String(), nil)
	if err != nil {
		return nil, explainDial(u, response, err)
	}
	ws.SetReadLimit(maxRelayed)
	return ws, nil
}

// explainDial says what to do about a relay that could not be reached.
func explainDial(u *url.URL, response *http.Response, err error) error {
	var (
		unknownCA   x509.UnknownAuthorityError
		wrongName   x509.HostnameError
		invalidCert x509.CertificateInvalidError
		notTLS      tls.RecordHeaderError
		noHost      *net.DNSError
	)
	relay := fmt.Sprintf("%s://%s", u.Scheme, u.Host)
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && response != nil:
		return fmt.Errorf("%w: %s answered HTTP %s instead of a WebSocket: is it a relay?", ErrDial, relay, response.Status)
	case errors.As(err, &unknownCA):
		return fmt.Errorf("%w: the certificate of %s is signed by an unknown authority: give that with --ca-file, or do without the check with --insecure: %w", ErrDial, relay, err)
	case errors.As(err, &wrongName), errors.As(err, &invalidCert):
		return fmt.Errorf("%w: the certificate of %s is not valid for it: use a name that it has, or do without the check with --insecure: %w", ErrDial, relay, err)
	case errors.As(err, &notTLS):
		return fmt.Errorf("%w: %s does not speak TLS: try ws://%s", ErrDial, relay, u.Host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing listens at %s: is the relay running there?", ErrDial, relay)
	case errors.As(err, &noHost):
		return fmt.Errorf("%w: host %q cannot be found: %w", ErrDial, u.Hostname(), err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: %s hung up: does it want the other of ws:// and wss://? %w", ErrDial, relay, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrDial, relay, err)
}

// hello registers the uid, before anybody else uses the connection.
func hello(ctx context.Context, ws *websocket.Conn, uid string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ws.NetConn().Close() })
	defer stop()
	if err := ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte(VerbHello+" "+uid)); err != nil {
		return fmt.Errorf("%w: sending HELLO: %w", ErrDial, err)
	}
	_, message, err := ws.ReadMessage()
	if ctx.Err() != nil {
		return fmt.Errorf("%w: no answer to HELLO: %w", ErrDial, ctx.Err())
	}
	if err != nil {
		return explainHello(uid, err)
	}
	reply, err := ParseReply(string(message))
	switch {
	case err != nil:
		return fmt.Errorf("%w: want HELLO: is it a relay? %w", ErrDial, err)
	case reply.Verb == VerbHello:
		return nil
	case reply.Verb == VerbError:
		return refusedHello(uid, reply.Text)
	}
	return fmt.Errorf("%w: want HELLO, got %s: is it a relay?", ErrDial, reply.Verb)
}

// explainHello reads the close frame that some relays refuse a uid with.
func explainHello(uid string, err error) error {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Text != "" {
		return refusedHello(uid, closed.Text)
	}
	return fmt.Errorf("%w: waiting for the answer to HELLO: %w", ErrDial, err)
}

func refusedHello(uid, reason string) error {
	if reason == "invalid peer uid" {
		return fmt.Errorf("%w: %q is taken by another peer: choose another --name", ErrUIDRefused, uid)
	}
	return fmt.Errorf("%w: the relay refused HELLO: %s", ErrDial, reason)
}
