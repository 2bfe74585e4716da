package signalling

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

const (
	// DefaultKeepalive is the Keepalive of a ClientConfig that has none.
	DefaultKeepalive = 15 * time.Second

	dialTimeout  = 15 * time.Second // for the handshake, and again for HELLO
	writeTimeout = 10 * time.Second // for one message
	closeTimeout = 2 * time.Second  // for the relay to answer a close frame

	// maxRelayed leaves a message of MaxMessage bytes the room for the words
	// that the relay puts before it, and a list of members its length.
	maxRelayed = 2 * MaxMessage

	// queued events and messages are few: more would only hide a stuck consumer.
	queueLength = 64
)

var (
	// ErrURL is wrapped by Dial for an address that cannot be a relay's.
	ErrURL = errors.New("signalling: invalid relay URL")
	// ErrDial is wrapped by Dial when the relay cannot be reached or does not
	// answer as one.
	ErrDial = errors.New("signalling: cannot connect to the relay")
	// ErrUIDRefused is wrapped by Dial when the relay does not take the uid.
	ErrUIDRefused = errors.New("signalling: the relay refused the uid")
	// ErrJoin is wrapped by Join when the relay does not let the peer in.
	ErrJoin = errors.New("signalling: cannot join the room")
	// ErrMessage is wrapped by SendTo for a text that is too long or not UTF-8.
	ErrMessage = errors.New("signalling: message cannot be sent")
	// ErrDisconnected is wrapped when the connection to the relay was lost or
	// the relay closed it. Another Dial may succeed.
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

	// TLS is used for wss; nil means the system's authorities.
	TLS *tls.Config

	// Keepalive is the time between the client's pings. A relay without a sign
	// of life for two of them is given up. 0 means DefaultKeepalive.
	Keepalive time.Duration

	// Log gets what the relay says that the client does not understand. nil
	// means no log.
	Log *slog.Logger
}

// Client is a registered peer: it joins a room and exchanges texts with the
// other members. Its methods may be called from several goroutines.
//
// Up to 64 events wait for Recv. Beyond that the client stops reading, so that
// a consumer that is stuck costs no memory; a relay that bounds its queues, or
// that gets no answer to its pings, then ends the connection.
type Client struct {
	// Static.
	ws        *websocket.Conn
	url       string
	log       *slog.Logger
	keepalive time.Duration
	events    chan Event    // the read loop sends and closes
	outgoing  chan string   // messages for the write loop
	closing   chan struct{} // closed by Close
	ended     chan struct{} // closed when the read loop has ended
	loops     sync.WaitGroup
	closeOnce sync.Once

	mu      sync.Mutex
	joining chan Reply // takes the answer to the Join under way; nil without one
	err     error      // why the connection ended; the first cause stays
}

// Dial connects to a relay and registers the uid. The errors wrap ErrURL,
// ErrInvalidUID, ErrDial or ErrUIDRefused. ctx is for dialling only.
func Dial(ctx context.Context, config ClientConfig) (*Client, error) {
	if err := CheckUID(config.UID); err != nil {
		return nil, err
	}
	u, err := relayURL(config.URL, config.Role)
	if err != nil {
		return nil, err
	}
	ws, err := connect(ctx, u, config.TLS)
	if err != nil {
		return nil, err
	}
	if err := hello(ctx, ws, config.UID); err != nil {
		ws.Close()
		return nil, err
	}
	c := &Client{
		ws:        ws,
		url:       fmt.Sprintf("%s://%s", u.Scheme, u.Host),
		log:       config.Log,
		keepalive: config.Keepalive,
		events:    make(chan Event, queueLength),
		outgoing:  make(chan string, queueLength),
		closing:   make(chan struct{}),
		ended:     make(chan struct{}),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.keepalive <= 0 {
		c.keepalive = DefaultKeepalive
	}
	c.loops.Go(c.readLoop)
	c.loops.Go(c.writeLoop)
	return c, nil
}

// Join enters a room, which is made if need be, and returns the members that
// were there before: by convention the newcomer makes each of them an offer. A
// Client can be in one room, and only the first of several Joins may succeed.
// The errors wrap ErrInvalidRoomID, ErrJoin, ErrDisconnected or ErrClosed, or
// are those of ctx; after the latter the Client is of no further use.
func (c *Client) Join(ctx context.Context, room string) (members []string, err error) {
	if err := CheckRoomID(room); err != nil {
		return nil, err
	}
	answer := make(chan Reply, 1)
	c.mu.Lock()
	busy := c.joining != nil
	if !busy {
		c.joining = answer
	}
	c.mu.Unlock()
	if busy {
		return nil, fmt.Errorf("%w: another Join is under way", ErrJoin)
	}
	if err := c.send(ctx, VerbRoom+" "+room); err != nil {
		return nil, err
	}
	select {
	case reply := <-answer:
		if reply.Verb == VerbError {
			return nil, fmt.Errorf("%w %q: the relay says: %s", ErrJoin, room, reply.Text)
		}
		return reply.IDs, nil
	case <-c.ended:
		return nil, c.cause()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Recv waits for the next event. Events come in the order in which the relay
// sent them, none is lost, and those that came before the end of the connection
// come before its error, which wraps ErrDisconnected or ErrClosed.
func (c *Client) Recv(ctx context.Context) (Event, error) {
	select {
	case e, ok := <-c.events:
		if !ok {
			return nil, c.cause()
		}
		return e, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// SendTo sends a text to another member of the room. It returns when the text is
// on its way; that the member has left shows as a RelayError from Recv. It waits
// while 64 others are on their way. The errors wrap ErrInvalidUID, ErrMessage,
// ErrDisconnected or ErrClosed, or are those of ctx.
func (c *Client) SendTo(ctx context.Context, uid, text string) error {
	if err := CheckUID(uid); err != nil {
		return err
	}
	return c.send(ctx, VerbRoomPeerMsg+" "+uid+" "+text)
}

func (c *Client) send(ctx context.Context, message string) error {
	if len(message) > MaxMessage {
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrMessage, len(message), MaxMessage)
	}
	if !utf8.ValidString(message) {
		return fmt.Errorf("%w: it is not UTF-8", ErrMessage)
	}
	select {
	case <-c.closing:
		return ErrClosed
	case <-c.ended:
		return c.cause()
	default:
	}
	select {
	case c.outgoing <- message:
		return nil
	case <-c.closing:
		return ErrClosed
	case <-c.ended:
		return c.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close sends what SendTo has taken, says goodbye to the relay and returns when
// all has ended, which takes 2 s if the relay does not answer. It may be called
// repeatedly.
func (c *Client) Close() {
	c.closeOnce.Do(func() {
		c.fail(ErrClosed)
		close(c.closing)
	})
	late := time.AfterFunc(closeTimeout, func() { c.ws.NetConn().Close() })
	defer late.Stop()
	c.loops.Wait()
}

// fail notes why the connection ends, unless there is a cause already.
func (c *Client) fail(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = cause
	}
}

func (c *Client) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) readLoop() {
	defer close(c.events)
	defer close(c.ended)
	defer c.ws.Close()
	answerPing := c.ws.PingHandler()
	c.ws.SetPingHandler(func(payload string) error {
		c.awaitLife()
		return answerPing(payload)
	})
	c.ws.SetPongHandler(func(string) error {
		c.awaitLife()
		return nil
	})
	for {
		c.awaitLife()
		kind, message, err := c.ws.ReadMessage()
		if err != nil {
			c.fail(c.explainEnd(err))
			return
		}
		if kind == websocket.TextMessage {
			c.handle(string(message))
		}
	}
}

// awaitLife gives the relay time for its next sign of life.
func (c *Client) awaitLife() {
	// An error means that the socket is closed: the next read says so.
	_ = c.ws.SetReadDeadline(time.Now().Add(2 * c.keepalive))
}

func (c *Client) explainEnd(err error) error {
	var closed *websocket.CloseError
	var netErr net.Error
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		said := strings.TrimSpace(fmt.Sprintf("%d %s", closed.Code, closed.Text))
		return fmt.Errorf("%w: %s closed the connection: %s", ErrDisconnected, c.url, said)
	case errors.As(err, &netErr) && netErr.Timeout():
		return fmt.Errorf("%w: no sign of life from %s for %v", ErrDisconnected, c.url, 2*c.keepalive)
	}
	return fmt.Errorf("%w: the connection to %s broke: %w", ErrDisconnected, c.url, err)
}

// handle turns a message of the relay into an event or the answer to Join.
func (c *Client) handle(message string) {
	reply, err := ParseReply(message)
	if err != nil {
		c.log.Debug("relay's message not understood", "err", err)
		return
	}
	switch reply.Verb {
	case VerbRoomPeerJoined:
		c.emit(PeerJoined{reply.ID})
	case VerbRoomPeerLeft:
		c.emit(PeerLeft{reply.ID})
	case VerbRoomPeerMsg:
		c.emit(Message{reply.ID, reply.Text})
	case VerbRoomOK:
		if !c.answerJoin(reply) {
			c.log.Debug("relay's answer without a question", "verb", reply.Verb)
		}
	case VerbError:
		if !c.answerJoin(reply) {
			c.emit(RelayError{reply.Text})
		}
	default:
		c.log.Debug("relay's message not expected", "verb", reply.Verb)
	}
}

// answerJoin reports false when no Join waits for an answer.
func (c *Client) answerJoin(reply Reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joining == nil {
		return false
	}
	c.joining <- reply // has a place for it
	c.joining = nil
	return true
}

func (c *Client) emit(e Event) {
	select {
	case c.events <- e:
	case <-c.closing:
	}
}

func (c *Client) writeLoop() {
	ping := time.NewTicker(c.keepalive)
	defer ping.Stop()
	for {
		var err error
		select {
		case message := <-c.outgoing:
			err = c.write(websocket.TextMessage, []byte(message))
		case <-ping.C:
			err = c.write(websocket.PingMessage, nil)
		case <-c.closing:
			c.writeLast()
			return
		case <-c.ended:
			return
		}
		if err != nil {
			c.fail(fmt.Errorf("%w: the connection to %s broke: %w", ErrDisconnected, c.url, err))
			c.ws.Close() // ends the read loop
			return
		}
	}
}

// writeLast writes what is queued, and the close frame.
func (c *Client) writeLast() {
	for {
		select {
		case message := <-c.outgoing:
			if c.write(websocket.TextMessage, []byte(message)) != nil {
				return
			}
		default:
			goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			_ = c.write(websocket.CloseMessage, goodbye) // else Close cuts the connection
			return
		}
	}
}

func (c *Client) write(kind int, payload []byte) error {
	if err := c.ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return c.ws.WriteMessage(kind, payload)
}
