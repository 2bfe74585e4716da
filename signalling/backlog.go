package signalling

import (
	"context"
	"fmt"
	"sync"
)

const (
	// maxUnsent messages may wait to be written: beyond them SendTo and Send wait
	// too.
	maxUnsent = 256
	// maxUnacknowledged messages are kept after they were written, until the
	// relay is known to have them.
	maxUnacknowledged = 256

	// anyRegistration is for a message that will do in the next one too.
	anyRegistration = 0
)

// backlog is what a client has to say. A message stays in it until the relay is
// known to have it, so that it can be written again to another connection. The
// messages of a registration are numbered from 1.
type backlog struct {
	wake chan struct{} // holds a token when next may have something new

	mu           sync.Mutex
	registration int      // the number of it, from 1
	messages     []string // in order; the first one's number is dropped+1
	dropped      uint64   // the relay has these, or they were too many to keep
	written      uint64   // these were written, the last ones perhaps in vain
	connected    bool
	changed      chan struct{} // closed at the next change; nil when nobody waits for one
	err          error         // no more messages are taken, for this reason
}

func newBacklog() *backlog {
	return &backlog{wake: make(chan struct{}, 1), registration: 1, connected: true}
}

// current is the number of the registration.
func (b *backlog) current() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.registration
}

// push takes a message for a registration, and fails with ErrNoCall in another
// one: there it would be taken for a command. While too many wait to be written
// it blocks, or fails with ErrDisconnected if there is no connection to write
// them to.
func (b *backlog) push(ctx context.Context, registration int, message string) error {
	for {
		changed, err := b.tryPush(registration, message)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryPush returns a channel when the message could not be taken now: it is
// closed when that may have changed.
func (b *backlog) tryPush(registration int, message string) (changed <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch full := b.last()-b.written >= maxUnsent; {
	case b.err != nil:
		return nil, b.err
	case registration != anyRegistration && registration != b.registration:
		return nil, fmt.Errorf("%w any more", ErrNoCall)
	case !full:
		b.add(message)
		return nil, nil
	case !b.connected:
		return nil, fmt.Errorf("%w, and %d messages wait for it already", ErrDisconnected, maxUnsent)
	}
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed, nil
}

// pushNow takes a message whatever waits already.
func (b *backlog) pushNow(message string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.add(message)
	}
	return b.err
}

// next gives the next message to be written, if there is one.
func (b *backlog) next() (message string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written == b.last() {
		return "", false
	}
	message = b.messages[b.written-b.dropped]
	b.written++
	if b.written-b.dropped > maxUnacknowledged {
		b.drop(b.written - maxUnacknowledged)
	}
	b.announce()
	return message, true
}

// sent is the number of the last message that was written.
func (b *backlog) sent() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.written
}

// acknowledge says that the relay has the messages up to that number.
func (b *backlog) acknowledge(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped < number && number <= b.written {
		b.drop(number)
	}
}

// disconnect says that nothing will be written for a while.
func (b *backlog) disconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connected = false
	b.announce()
}

// resume goes on, on a new connection, behind the messages that the relay has.
// It reports false when those that it lacks are not kept any more.
func (b *backlog) resume(received uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if received < b.dropped || received > b.written {
		return false
	}
	b.drop(received)
	b.written = received
	b.connect()
	return true
}

// restart begins a new registration with the given messages. All others are lost.
func (b *backlog) restart(messages ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.registration++
	b.messages, b.dropped, b.written = messages, 0, 0
	b.connect()
}

// close takes no more messages, for the given reason, unless there is one already.
func (b *backlog) close(reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = reason
		b.announce()
	}
}

// refusal is why no more messages are taken, or else the given reason.
func (b *backlog) refusal(reason error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	return reason
}

// The following are called with mu held.

func (b *backlog) last() uint64 { return b.dropped + uint64(len(b.messages)) }

func (b *backlog) add(message string) {
	b.messages = append(b.messages, message)
	b.rouse()
}

func (b *backlog) drop(upTo uint64) {
	n := upTo - b.dropped
	clear(b.messages[:n]) // or the array would keep them
	b.messages = b.messages[n:]
	b.dropped = upTo
}

func (b *backlog) connect() {
	b.connected = true
	b.rouse()
	b.announce()
}

func (b *backlog) rouse() {
	select {
	case b.wake <- struct{}{}:
	default: // a token is there already
	}
}

func (b *backlog) announce() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}
