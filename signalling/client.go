package signalling

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

const (
	// DefaultKeepalive is the Keepalive of a ClientConfig that has none.
	DefaultKeepalive = 15 * time.Second

	dialTimeout  = 15 * time.Second // for the handshake, for HELLO, and for the room that was left
	writeTimeout = 10 * time.Second // for one message
	closeTimeout = 2 * time.Second  // for all that is left to be said, and for the relay's answer to that

	// maxRelayed leaves a message of MaxMessage bytes the room for the words
	// that the relay puts before it, and a list of members its length.
	maxRelayed = 2 * MaxMessage

	// Events that wait are few: more would only hide a stuck consumer.
	maxEvents = 64
)

var (
	// ErrURL is wrapped by Dial for an address that cannot be a relay's.
	ErrURL = errors.New("signalling: invalid relay URL")
	// ErrDial is wrapped by Dial when the relay cannot be reached or does not
	// answer as one.
	ErrDial = errors.New("signalling: cannot connect to the relay")
	// ErrTokenRefused is wrapped when the relay wants a token and there is none,
	// or a valid one and this is not (HTTP 401, 403).
	ErrTokenRefused = errors.New("signalling: the relay refused the token")
	// ErrUIDRefused is wrapped by Dial when the relay does not take the uid.
	ErrUIDRefused = errors.New("signalling: the relay refused the uid")
	// ErrJoin is wrapped by Join when the relay does not let the peer in.
	ErrJoin = errors.New("signalling: cannot join the room")
	// ErrNoRoom is wrapped by SendTo outside a room.
	ErrNoRoom = errors.New("signalling: not in a room")
	// ErrMessage is wrapped by SendTo and Send for a text that is too long or not
	// UTF-8.
	ErrMessage = errors.New("signalling: message cannot be sent")
	// ErrDisconnected is wrapped when the connection to the relay was lost or
	// the relay closed it. The Client tries to get it back.
	ErrDisconnected = errors.New("signalling: disconnected from the relay")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("signalling: client is closed")
)

// ClientConfig says which relay to use and who to be there.
type ClientConfig struct {
	// URL of the relay: ws://host:port or wss://host:port, with any path and
	// query. http and https are taken for ws and wss.
	URL string

	// UID to register: 1 to MaxID bytes without white space, not in use at the
	// relay.
	UID string

	// Role is empty for a full peer, or RoleViewer.
	Role Role

	// Token is for a relay that wants one. Use it with wss only.
	Token string

	// TLS is asked before each connection by wss, for whom to trust may change;
	// what it gives is not to be changed. nil means the system's authorities.
	TLS func() *tls.Config

	// Keepalive is the time between the client's pings. A relay without a sign
	// of life for two of them is given up. 0 means DefaultKeepalive.
	Keepalive time.Duration

	// Log gets attempts to connect again, and what the relay says that the
	// client does not understand. nil means no log.
	Log *slog.Logger
}

// Client is a registered peer. It joins a room and exchanges texts with the other
// members, or it is in one call after another, which it makes with Call or takes
// when CallMessage comes. Its methods may be called from several goroutines.
//
// When the connection to the relay breaks, or the relay closes it, the client
// connects again, after waiting times that grow from at most 0.5 s to at most
// 30 s, until it is back, is closed, or the relay refuses its token. Recv tells
// of it: see Reconnecting, Refused, Resumed, Rejoined and CallEnded. A call survives only
// what ends with Resumed. After a call the client connects again too, at once and
// without a word.
//
// Up to 64 events wait for Recv. Beyond that the client stops reading, so that
// a consumer that is stuck costs no memory; a relay that bounds its queues, or
// that gets no answer to its pings, then ends the connection, and the client
// connects again once the consumer goes on.
type Client struct {
	// Static.
	relay     relay
	uid       string
	log       *slog.Logger
	keepalive time.Duration
	backlog   *backlog
	events    chan Event      // run sends and closes
	ended     chan struct{}   // closed when run has ended
	closing   context.Context // ends with close
	close     context.CancelFunc
	running   sync.WaitGroup

	// Owned by run.
	secret    string // to resume with
	received  uint64 // messages of the relay since the registration
	retry     retry
	away      bool   // Reconnecting or Refused was the last that was said of the connection
	rejoining string // the room that a new registration has yet to be let into

	mu       sync.Mutex
	room     string             // the peer is in it, or was before the connection broke
	call     *call              // the same; nil without one
	question *question          // of the Join or Call under way; nil without one
	part     context.CancelFunc // ends the connection properly, if there is one

	// Set before ended is closed.
	err error
}

// Dial connects to a relay and registers the uid. It does not try twice. The
// errors wrap ErrURL, ErrInvalidUID, ErrDial, ErrTokenRefused or ErrUIDRefused.
// ctx is for dialling only.
func Dial(ctx context.Context, config ClientConfig) (*Client, error) {
	if err := CheckUID(config.UID); err != nil {
		return nil, err
	}
	relay, err := newRelay(config)
	if err != nil {
		return nil, err
	}
	c := &Client{
		relay:     relay,
		uid:       config.UID,
		log:       config.Log,
		keepalive: config.Keepalive,
		backlog:   newBacklog(),
		events:    make(chan Event, maxEvents),
		ended:     make(chan struct{}),
		secret:    rand.Text(),
		part:      func() {},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.keepalive <= 0 {
		c.keepalive = DefaultKeepalive
	}
	ws, _, err := c.register(ctx)
	if err != nil {
		return nil, err
	}
	c.retry = newRetry()
	c.closing, c.close = context.WithCancel(context.Background())
	c.running.Go(func() { c.run(ws) })
	return c, nil
}

// Recv waits for the next event. Events come in the order in which the relay
// sent them, and none is lost, unless HangUp is in their way. After the last
// comes the error that ended the client, and its call if it was in one:
// ErrClosed, or one that wraps ErrTokenRefused.
func (c *Client) Recv(ctx context.Context) (Event, error) {
	select {
	case e, ok := <-c.events:
		if !ok {
			return nil, c.err
		}
		return e, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// checkMessage holds what is to be sent to the limits of the protocol.
func checkMessage(message string) error {
	if len(message) > MaxMessage {
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrMessage, len(message), MaxMessage)
	}
	if !utf8.ValidString(message) {
		return fmt.Errorf("%w: it is not UTF-8", ErrMessage)
	}
	return nil
}

// Close sends what SendTo or Send has taken, if there is a connection, says
// goodbye to the relay and returns when all has ended, which takes 2 s if the
// relay does not answer. It may be called repeatedly.
func (c *Client) Close() {
	c.backlog.close(ErrClosed)
	c.close()
	c.running.Wait()
}

// run keeps the client connected until Close, or until the relay refuses it for
// good.
func (c *Client) run(ws *websocket.Conn) {
	defer close(c.events)
	defer close(c.ended)
	for {
		lost := c.serve(ws)
		if ws, c.err = c.reconnect(lost); c.err != nil {
			c.backlog.close(c.err)
			return
		}
	}
}

// emit reports false for an event that nobody waits for any more: those of a call
// that was hung up, and all after Close.
func (c *Client) emit(e Event) bool {
	hungUp := c.hungUp()
	select {
	case <-hungUp:
		return false
	case <-c.closing.Done():
		return false
	default:
	}
	select {
	case <-hungUp:
		return false
	case <-c.closing.Done():
		return false
	case c.events <- e:
		return true
	}
}
