package server

import (
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// frame is one WebSocket message, or a control frame. Its payload is shared
// between connections and never written to again, unless it is recycled.
type frame struct {
	kind     int // websocket.TextMessage, BinaryMessage, PingMessage, PongMessage or CloseMessage
	payload  []byte
	arrived  time.Duration  // since epoch, of a message that is timed; else 0
	recycled *messageBuffer // of payload; nil when that is left to the collector
}

// messageBuffer holds a message of usual length. To have the collector take each
// cost a tenth of the relay's time. A longer message gets no more room than this
// before some of it has come, for it may be a mere threat; a far shorter one has
// room of its own, for many may have to wait in a queue.
type messageBuffer [2 << 10]byte

var messageBuffers = sync.Pool{New: func() any { return new(messageBuffer) }}

// room makes room for a payload of about so many bytes.
func (f *frame) room(length int) {
	if length < len(messageBuffer{})/4 || length > len(messageBuffer{}) {
		f.payload = make([]byte, 0, min(length, len(messageBuffer{})))
		return
	}
	f.recycled = messageBuffers.Get().(*messageBuffer)
	f.payload = f.recycled[:0]
}

// recycle gives the payload back, which nobody else may have any more.
func (f frame) recycle() {
	if f.recycled != nil {
		messageBuffers.Put(f.recycled)
	}
}

// cost is about what the frame takes up in memory while it waits.
func (f frame) cost() int {
	const overhead = 64 // of the frame itself, in a slice that may have grown
	return overhead + cap(f.payload)
}

func textFrame(text string) frame {
	return frame{kind: websocket.TextMessage, payload: []byte(text)}
}

// outbox is all that others may ask of a connection: messages, in order and
// bounded; a ping; and its end. None of its methods blocks, so they may be
// called under the registry's mutex.
//
// Nobody waits for messages to write. Instead whoever queues one for an outbox
// that is not busy makes it so, and is bound to have it flushed: on a goroutine
// or, with less effort, by itself once it may take the time. The flush calls next
// and written until nothing is left.
type outbox struct {
	flush     func()        // writes what there is; nil when nobody will
	ended     chan struct{} // closed once the connection has been told to end
	kill      func()        // cuts the connection, whatever it is doing
	relayTime Observer      // of Config.RelayTime
	reserve   *reserve      // shared with all other outboxes; nil is without end
	maxFrames int
	maxBytes  int

	mu       sync.Mutex
	frames   []frame  // not yet written; the first is at head
	history  *history // what is written but may be lost; nil for a peer that cannot resume
	head     int
	bytes    int           // payload bytes in frames[head:]
	owed     backlogSize   // the part of them, at the head, that is beside the limits
	held     int           // cost of frames[head:], of the history, and of the message that comes
	greeting bool          // the first frame answers HELLO, of no use to another connection
	busy     bool          // somebody is bound to flush
	writing  int           // how many of the frames are being written
	kept     chan struct{} // set by keep, closed once none is being written
	pings    bool          // a ping is due
	pong     *frame        // the answer to the last ping, if not yet sent
	alive    chan struct{} // closed at the next sign of life; nil when nobody waits for one
	sent     tally         // what was written
	closing  *frame        // the close frame, to go out after frames
	killLate *time.Timer   // set with closing
	killAt   time.Time

	writers sync.WaitGroup // the goroutines that flush
}

func newOutbox(maxFrames, maxBytes int, kill func()) *outbox {
	return &outbox{
		ended:     make(chan struct{}),
		kill:      kill,
		maxFrames: maxFrames,
		maxBytes:  maxBytes,
	}
}

// send queues a message and has it written. It reports false when the message
// finds no place: the connection must end then, for a stream with a hole in it is
// of no use. To a connection that is ending, messages are lost silently, unless
// they are kept.
func (o *outbox) send(f frame) (placed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	placed = o.queue(f)
	o.rouse()
	return placed
}

// put is send, but when due is true, the caller must call flush, and until then
// nobody else does.
func (o *outbox) put(f frame) (placed, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue(f), o.claim()
}

func (o *outbox) queue(f frame) (placed bool) {
	if o.closing != nil && o.kept == nil {
		return true
	}
	waiting, bytes := len(o.frames)-o.head-o.owed.frames, o.bytes-o.owed.bytes
	if o.greeting {
		waiting, bytes = waiting-1, bytes-len(o.frames[o.head].payload)
	}
	if waiting > 0 && (waiting >= o.maxFrames || bytes+len(f.payload) > o.maxBytes) || !o.afford(f.cost(), waiting == 0) {
		return false
	}
	o.hold(f.cost())
	o.reclaim()
	o.frames = append(o.frames, f)
	o.bytes += len(f.payload)
	return true
}

// reclaim uses the slots of written frames again before there are more of them:
// of a queue that is never quite empty they would become ever more. Half of the
// slots are free then at least, so that each frame is moved once on average.
func (o *outbox) reclaim() {
	if len(o.frames) < cap(o.frames) || o.head == 0 || o.head < len(o.frames)/2 {
		return
	}
	n := copy(o.frames, o.frames[o.head:])
	clear(o.frames[n:])
	o.frames, o.head = o.frames[:n], 0
}

// afford tells whether the reserve has what the cost needs beyond the share of
// this connection. What was written is forgotten for it first.
func (o *outbox) afford(cost int, urgent bool) bool {
	lacks := func() int { return max(0, o.held+cost-max(o.held, ownShare)) }
	if lacks() > 0 && !o.reserve.has(lacks(), urgent) {
		o.release(o.history.forgetSome(o.drawn() + lacks()))
	}
	return lacks() == 0 || o.reserve.has(lacks(), urgent)
}

// receive counts memory for a message of the peer that is coming, which is held
// like one for it; or gives back a negative number of bytes. It reports false when
// there is not so much.
func (o *outbox) receive(more int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if more > 0 && !o.afford(more, false) {
		return false
	}
	o.hold(more)
	return true
}

// greet queues the answer to HELLO, ahead of all other messages, and after it
// what the peer lacks since an earlier connection.
func (o *outbox) greet(f frame, lacking backlog) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing != nil {
		return
	}
	o.frames = append([]frame{f}, lacking.frames...)
	for _, queued := range o.frames {
		o.bytes += len(queued.payload)
		o.hold(queued.cost())
	}
	o.owed = lacking.owed
	o.greeting = true
	if o.history != nil {
		o.history.first = lacking.before
	}
	o.rouse()
}

// ping has a ping sent, ahead of what is queued.
func (o *outbox) ping() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pings = true
	o.rouse()
	o.economise()
}

// economise forgets what was written, as far as it needs more than the share of
// this connection, when the reserve runs short.
func (o *outbox) economise() {
	if o.drawn() > 0 && o.reserve.runsShort() {
		o.release(o.history.forgetSome(o.drawn()))
	}
}

// answerPing has a pong sent. Of several unanswered pings only
// the last needs one (RFC 6455, section 5.5.3).
func (o *outbox) answerPing(payload string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pong = &frame{kind: websocket.PongMessage, payload: []byte(payload)}
	o.rouse()
}

// confirm notes the answer to a ping: what was written before it has arrived.
func (o *outbox) confirm(pong []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release(o.history.confirm(pong))
}

// probe sends a ping and returns a channel that is closed at the peer's next
// sign of life.
func (o *outbox) probe() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.alive == nil {
		o.alive = make(chan struct{})
	}
	o.pings = true
	o.rouse()
	return o.alive
}

// lives notes a sign of life of the peer.
func (o *outbox) lives() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.alive != nil {
		close(o.alive)
		o.alive = nil
	}
}

// finish ends the connection after what is queued, with a close frame; it is
// cut if that takes longer than within. Of several ends the first one's code
// and the earliest one's time count.
func (o *outbox) finish(code int, reason string, within time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end(code, reason, within)
}

// abandon is finish, but what is queued is lost, unless it is kept.
func (o *outbox) abandon(code int, reason string, within time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept == nil {
		o.clear()
	}
	o.end(code, reason, within)
}

// keep ends the connection at once, like abandon, but what is queued is kept,
// with all that is sent from then on, for another connection to take. That may
// be done as soon as the returned channel is closed: then it is known what has
// been written.
func (o *outbox) keep(code int, reason string, within time.Duration) (settled <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept == nil {
		o.kept = make(chan struct{})
		if o.writing == 0 {
			close(o.kept)
		}
	}
	o.end(code, reason, within)
	return o.kept
}

// backlog is what has been kept for a peer that comes back.
type backlog struct {
	frames []frame
	before uint64      // how many messages there were before the first one
	owed   backlogSize // the part, at the head, that was written already, and lost
}

type backlogSize struct{ frames, bytes int }

func (s *backlogSize) add(f frame) {
	s.frames++
	s.bytes += len(f.payload)
}

func (s *backlogSize) take(f frame) {
	if s.frames > 0 {
		s.frames--
		s.bytes -= len(f.payload)
	}
}

// take gives what has been kept: the messages that were not written, and before
// them those that were and that the peer says it lacks. It reports false when
// these are not known any more.
//
// What is owed was within the limits of the history or is what is left of an
// earlier debt, and both together never exceed those. So however often a peer
// comes back, it costs no more than one history and one queue.
func (o *outbox) take(r *resumption) (lacking backlog, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.drop()
	lacking.owed = o.owed
	unwritten := o.frames[o.head:]
	if o.greeting {
		unwritten = unwritten[1:]
	}
	if !r.counts {
		lacking.frames, lacking.before = unwritten, o.history.written()
		return lacking, true
	}
	lost, ok := o.history.since(r.received)
	for _, f := range lost {
		lacking.owed.add(f)
	}
	lacking.frames, lacking.before = slices.Concat(lost, unwritten), r.received
	return lacking, ok
}

// clear drops what is not being written already.
func (o *outbox) clear() {
	end := o.head + o.writing
	for _, f := range o.frames[end:] {
		o.bytes -= len(f.payload)
		o.release(f.cost())
	}
	o.frames = o.frames[:end:end] // what was behind may be somebody else's now
	if o.writing == 0 {
		o.frames, o.head, o.greeting, o.owed = nil, 0, false, backlogSize{}
	}
}

// drop is clear, and forgets what was written as well.
func (o *outbox) drop() {
	o.clear()
	o.release(o.history.forget())
}

// empty drops everything, once nobody writes and nobody is to come back.
func (o *outbox) empty() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop()
}

// hold counts what is kept in memory from now on.
func (o *outbox) hold(cost int) {
	before := o.drawn()
	o.held += cost
	o.reserve.draw(o.drawn() - before)
}

// release counts what is not kept any more.
func (o *outbox) release(cost int) { o.hold(-cost) }

// drawn is what the outbox needs beyond its own share.
func (o *outbox) drawn() int { return max(0, o.held-ownShare) }

func (o *outbox) end(code int, reason string, within time.Duration) {
	killAt := time.Now().Add(within)
	if o.closing != nil {
		if killAt.Before(o.killAt) {
			o.killAt = killAt
			o.killLate.Reset(within)
		}
		return
	}
	o.closing = &frame{kind: websocket.CloseMessage, payload: websocket.FormatCloseMessage(code, reason)}
	o.killAt = killAt
	o.killLate = time.AfterFunc(within, o.kill)
	close(o.ended)
	o.rouse()
}

// over tells whether the connection has been told to end.
func (o *outbox) over() bool {
	select {
	case <-o.ended:
		return true
	default:
		return false
	}
}

// disarm stops what finish set up, once the connection is gone.
func (o *outbox) disarm() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.killLate != nil {
		o.killLate.Stop()
	}
}

// next gives what is to be written now: control frames first, the close frame
// last. It reports false when there is nothing: the outbox is then not busy any
// more. A message stays in the outbox until written is called.
func (o *outbox) next(b *batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	b.reset()
	if o.pong != nil {
		b.add(*o.pong)
		o.pong = nil
	}
	if o.pings {
		b.add(frame{kind: websocket.PingMessage, payload: o.history.ping()})
		o.pings = false
	}
	for o.kept == nil && o.head+o.writing < len(o.frames) && b.add(o.frames[o.head+o.writing]) {
		o.writing++
	}
	if o.closing != nil && (o.kept != nil || o.head+o.writing == len(o.frames)) {
		b.add(*o.closing)
	}
	o.busy = b.size > 0
	return o.busy
}

// written tells how many of the messages that next gave have wholly gone to the
// socket. The rest is still to be written, by this connection or another.
func (o *outbox) written(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range n {
		o.pop()
	}
	if o.kept != nil && o.writing > 0 {
		close(o.kept)
	}
	o.writing = 0
}

func (o *outbox) pop() {
	f := o.frames[o.head]
	o.frames[o.head] = frame{}
	o.head++
	o.bytes -= len(f.payload)
	if !o.greeting {
		o.owed.take(f)
	}
	o.sent.add(f)
	if f.arrived != 0 && o.relayTime != nil {
		o.relayTime.Observe((time.Since(epoch) - f.arrived).Seconds())
	}
	switch {
	case o.history != nil && !o.greeting:
		o.release(o.history.add(f))
		o.economise()
		o.pings = o.pings || o.history.due()
	default:
		o.release(f.cost())
	}
	o.greeting = false
	if o.history == nil {
		f.recycle()
	}
	if o.head == len(o.frames) {
		o.frames, o.head = o.frames[:0], 0
		if cap(o.frames) > 64 { // one burst must not hold memory for the connection's life
			o.frames = nil
		}
	}
}

// rouse has somebody flush.
func (o *outbox) rouse() {
	if o.claim() {
		o.writers.Go(o.flush)
	}
}

// claim makes the outbox busy, if it is not.
func (o *outbox) claim() bool {
	if o.busy || o.flush == nil {
		return false
	}
	o.busy = true
	return true
}
