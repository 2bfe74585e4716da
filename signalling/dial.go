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
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/gorilla/websocket"
)

// relay is where a client connects to.
type relay struct {
	url   *url.URL           // without what changes from one connection to the next
	tls   func() *tls.Config // as in ClientConfig
	token string
}

func newRelay(config ClientConfig) (relay, error) {
	u, err := relayURL(config.URL)
	if err != nil {
		return relay{}, err
	}
	if config.Role != "" {
		query := u.Query()
		query.Set(QueryRole, string(config.Role))
		u.RawQuery = query.Encode()
	}
	return relay{url: u, tls: config.TLS, token: config.Token}, nil
}

// String names the relay in errors, without its query, which may hold secrets.
func (r relay) String() string { return r.url.Scheme + "://" + r.url.Host }

// relayURL reads the address of a relay as a user writes it. http and https,
// the addresses of the relay's page, stand for ws and wss.
func relayURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, withoutURL(err))
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return nil, fmt.Errorf("%w: want ws://host:port or wss://host:port, got %q", ErrURL, withoutQuery(address))
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("%w: %q names no host, want ws://host:port or wss://host:port", ErrURL, withoutQuery(address))
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: a user name or password in it is not supported", ErrURL)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment = ""
	return u, nil
}

// withoutURL is what is wrong with a URL. Itself it may hold a token, which
// belongs in no error.
func withoutURL(err error) error {
	var parsing *url.Error
	if errors.As(err, &parsing) {
		return parsing.Err
	}
	return err
}

func withoutQuery(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address
}

// connect opens a WebSocket, with what a relay needs to give a peer its place
// again: its secret, and how many messages it has received there.
func (r relay) connect(ctx context.Context, secret string, received uint64) (*websocket.Conn, error) {
	// The dialer itself looks at ctx only until TCP is connected.
	stop := func() bool { return true }
	dialer := websocket.Dialer{
		Proxy:            http.ProxyFromEnvironment,
		HandshakeTimeout: dialTimeout,
		NetDialContext: func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(dialing, network, address)
			if err == nil {
				stop = context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
	}
	if r.tls != nil {
		dialer.TLSClientConfig = r.tls()
	}
	u := *r.url
	query := u.Query()
	query.Set(QueryResume, secret)
	query.Set(QueryReceived, strconv.FormatUint(received, 10))
	u.RawQuery = query.Encode()
	header := http.Header{}
	if r.token != "" {
		header.Set("Authorization", "Bearer "+r.token)
	}
	ws, response, err := dialer.DialContext(ctx, u.String(), header)
	stop()
	if ctx.Err() != nil && err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDial, r, ctx.Err())
	}
	if err != nil {
		return nil, r.explain(response, err)
	}
	ws.SetReadLimit(maxRelayed)
	return ws, nil
}

// explain says what to do about a relay that could not be reached.
func (r relay) explain(response *http.Response, err error) error {
	var (
		unknownCA   x509.UnknownAuthorityError
		wrongName   x509.HostnameError
		invalidCert x509.CertificateInvalidError
		notTLS      tls.RecordHeaderError
		noHost      *net.DNSError
	)
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && response != nil:
		return r.explainStatus(response)
	case errors.As(err, &unknownCA):
		return fmt.Errorf("%w: the certificate of %s is signed by an unknown authority: give that with --ca-file, or do without the check with --insecure: %w", errRefused, r, err)
	case errors.As(err, &wrongName), errors.As(err, &invalidCert):
		return fmt.Errorf("%w: the certificate of %s is not valid for it: use a name that it has, or do without the check with --insecure: %w", errRefused, r, err)
	case errors.As(err, &notTLS):
		return fmt.Errorf("%w: %s does not speak TLS: try ws://%s", ErrDial, r, r.url.Host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing listens at %s: is the relay running there?", ErrDial, r)
	case errors.As(err, &noHost):
		return fmt.Errorf("%w: host %q cannot be found: %w", ErrDial, r.url.Hostname(), err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: %s hung up: does it want the other of ws:// and wss://? %w", ErrDial, r, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrDial, r, err)
}

// explainStatus is about an answer that is no WebSocket.
func (r relay) explainStatus(response *http.Response) error {
	why := ""
	if line := plainLine(response); line != "" {
		why = " (" + line + ")"
	}
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		which := "one"
		if r.token != "" {
			which = "another one"
		}
		return fmt.Errorf("%w: %s answered HTTP %s%s: give %s with --token", ErrTokenRefused, r, response.Status, why, which)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s answered HTTP %s%s: try again later", errRefused, r, response.Status, why)
	}
	return fmt.Errorf("%w: %s answered HTTP %s instead of a WebSocket: is it a relay?", ErrDial, r, response.Status)
}

// plainLine is the body of an answer, if that is for people and short.
func plainLine(response *http.Response) string {
	const enough = 200
	body, err := io.ReadAll(io.LimitReader(response.Body, enough+1))
	line := strings.TrimSpace(string(body))
	plain := strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain")
	if err != nil || !plain || len(body) > enough || strings.ContainsFunc(line, unicode.IsControl) {
		return ""
	}
	return line
}

// hello registers the uid, before anybody else uses the connection, and gives
// the relay's HELLO.
func hello(ctx context.Context, ws *websocket.Conn, uid string) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ws.NetConn().Close() })
	defer stop()
	if err := ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return Reply{}, fmt.Errorf("%w: sending HELLO: %w", ErrDial, err)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte(VerbHello+" "+uid)); err != nil {
		return Reply{}, fmt.Errorf("%w: sending HELLO: %w", ErrDial, err)
	}
	_, message, err := ws.ReadMessage()
	if ctx.Err() != nil {
		return Reply{}, fmt.Errorf("%w: no answer to HELLO: %w", ErrDial, ctx.Err())
	}
	if err != nil {
		return Reply{}, explainHello(uid, err)
	}
	reply, err := ParseReply(string(message))
	switch {
	case err != nil:
		return Reply{}, fmt.Errorf("%w: want HELLO: is it a relay? %w", ErrDial, err)
	case reply.Verb == VerbHello:
		return reply, nil
	case reply.Verb == VerbError:
		return Reply{}, refusedHello(uid, reply.Text)
	}
	return Reply{}, fmt.Errorf("%w: want HELLO, got %s: is it a relay?", ErrDial, reply.Verb)
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
	return fmt.Errorf("%w: the relay refused HELLO: %s", errRefused, reason)
}
