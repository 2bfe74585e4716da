package server

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/gstpeer/gstpeer/signalling"
)

// Defaults of Limits. The others have none: they are off unless asked for.
const (
	DefaultMaxConnections = 20_000
	DefaultMaxRooms       = 10_000
	DefaultMaxRoomPeers   = 2_000
	DefaultTimeToHeaders  = 10 * time.Second
	DefaultTimeToHello    = 10 * time.Second
	DefaultQueuedMessages = 4096
	DefaultQueuedBytes    = 4 << 20

	DefaultQueuedBytesInAll = 1 << 30
)

// What to choose for a relay on the open internet, where the default is no
// limit: a household or an office may share one address, and a peer that joins
// a room sends each member a description and some ten candidates at once.
const (
	RecommendedConnectionsPerAddress = 50
	RecommendedMessagesPerSecond     = 100
	RecommendedBytesPerSecond        = 256 << 10
)

// maxHelloBytes are kept of a first message: more than HELLO has with the longest uid.
// Who has not said that yet may be anybody.
const maxHelloBytes = 2 * signalling.MaxID

// rateBurst is how much of the allowance a peer may save up by being silent.
const rateBurst = 10 * time.Second

// Limits bound what the relay does for anybody. 0 means the default, if there is
// one, else no limit. Each refusal is counted, see Server.Refusals.
type Limits struct {
	// MaxConnections bounds all connections. Beyond it a WebSocket is refused
	// with HTTP 503, and connections without a request are closed.
	MaxConnections int

	// MaxConnectionsPerAddress bounds the WebSockets of one client address, or
	// of one IPv6 network of 64 bits. Beyond it one is refused with HTTP 429. As
	// many peers again may be away to come back, and six times as many connections
	// may be no WebSocket, of which idle ones are closed for others, unless there
	// are trusted proxies.
	MaxConnectionsPerAddress int

	// MaxRooms and MaxRoomPeers bound the rooms and the members of each, viewers
	// included. Who would be one more is answered ERROR and may try another.
	MaxRooms     int
	MaxRoomPeers int

	// MaxMessageBytes bounds a message of a peer, which is closed with 1009
	// "message too big" beyond it. The default is signalling.MaxMessage.
	MaxMessageBytes int

	// QueuedMessages and QueuedBytes bound what waits for a peer that reads
	// more slowly than others send to it, or that is away. Beyond either it is
	// closed with 1008 "slow consumer". A single message finds place in an
	// empty queue whatever its size. Of a peer that may come back, as much again
	// is remembered of what was written, until it shows that this arrived.
	QueuedMessages int
	QueuedBytes    int

	// QueuedBytesInAll bounds the memory for what waits, what is remembered and
	// what has come of unfinished messages for all peers together, beyond 64 KiB
	// for each. When half of it is used, less is remembered of those that may come
	// back. When all is used, a peer that would need more of it is closed with 1008
	// "slow consumer", or with 1013 "no memory for the message" if that is its own;
	// a peer for which nothing waits may take as much again for one message.
	QueuedBytesInAll int

	// MessagesPerSecond and BytesPerSecond bound what a peer sends, pings and
	// pongs included, and the lists of a room's members that it is told. It may
	// save up 10 s of that, and can always send one message of MaxMessageBytes,
	// or get two lists. Beyond either it is closed with 1008 "too
	// many messages" or "too many bytes".
	MessagesPerSecond float64
	BytesPerSecond    float64

	// TimeToHeaders is from the connection to a complete HTTP request, for lack
	// of which it is closed. TimeToHello is from there to HELLO, for lack of
	// which it is closed with 1008 "no HELLO".
	TimeToHeaders time.Duration
	TimeToHello   time.Duration
}

func (l Limits) complete() (Limits, error) {
	if l.MaxConnections < 0 || l.MaxConnectionsPerAddress < 0 || l.MaxRooms < 0 || l.MaxRoomPeers < 0 ||
		l.MaxMessageBytes < 0 || l.QueuedMessages < 0 || l.QueuedBytes < 0 || l.QueuedBytesInAll < 0 ||
		l.MessagesPerSecond < 0 || l.BytesPerSecond < 0 || l.TimeToHeaders < 0 || l.TimeToHello < 0 {
		return l, fmt.Errorf("%w: limits want 0 or more, got %+v", ErrConfig, l)
	}
	for _, limit := range []struct {
		value        *int
		defaultValue int
	}{
		{&l.MaxConnections, DefaultMaxConnections},
		{&l.MaxRooms, DefaultMaxRooms},
		{&l.MaxRoomPeers, DefaultMaxRoomPeers},
		{&l.MaxMessageBytes, signalling.MaxMessage},
		{&l.QueuedMessages, DefaultQueuedMessages},
		{&l.QueuedBytes, DefaultQueuedBytes},
		{&l.QueuedBytesInAll, DefaultQueuedBytesInAll},
	} {
		if *limit.value == 0 {
			*limit.value = limit.defaultValue
		}
	}
	if l.TimeToHeaders == 0 {
		l.TimeToHeaders = DefaultTimeToHeaders
	}
	if l.TimeToHello == 0 {
		l.TimeToHello = DefaultTimeToHello
	}
	return l, nil
}

var (
	errMessageRate = errors.New("server: too many messages")
	errByteRate    = errors.New("server: too many bytes")
)

// pace holds a peer to its rates. It is owned by the read loop; a nil pace
// allows everything.
type pace struct {
	messages, bytes *rate.Limiter
}

func (l Limits) pace() *pace {
	if l.MessagesPerSecond == 0 && l.BytesPerSecond == 0 {
		return nil
	}
	return &pace{newLimiter(l.MessagesPerSecond, 1), newLimiter(l.BytesPerSecond, max(frameOverhead+l.MaxMessageBytes, 2*maxListBytes))}
}

func newLimiter(perSecond float64, atLeast int) *rate.Limiter {
	if perSecond == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(atLeast, int(perSecond*rateBurst.Seconds())))
}

// spendMessage takes a message from what the peer may send.
func (p *pace) spendMessage() error {
	if p != nil && !p.messages.Allow() {
		return errMessageRate
	}
	return nil
}

// spendBytes takes those of a frame, so that a message without an end is paid
// for as well.
func (p *pace) spendBytes(n int) error {
	if p != nil && !p.bytes.AllowN(time.Now(), n) {
		return errByteRate
	}
	return nil
}
