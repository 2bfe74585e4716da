package server_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/server"
)

// TestInvariants has many clients do random things, legal and illegal ones, in a
// few rooms and sessions, under names that they contend for, while each checks
// all that it receives against the protocol.
func TestInvariants(t *testing.T) {
	clients, duration := 50, 5*time.Second
	if longTests() {
		clients, duration = 200, time.Minute
	}
	const grace = time.Second
	r := startRelay(t, server.Config{
		ResumeGrace: grace,
		Limits:      server.Limits{MaxMessageBytes: 4096},
	}, server.Patience{Takeover: time.Hour})
	w := &world{
		relay: r, grace: grace, stop: make(chan struct{}), final: make(chan struct{}),
		registrations: map[int]*registration{}, counts: map[string]int{},
	}
	for i := range clients * 5 / 4 {
		w.uids = append(w.uids, fmt.Sprintf("uid%d", i))
	}
	for i := range 1 + clients/15 {
		w.rooms = append(w.rooms, fmt.Sprintf("room%d", i))
	}
	actors := make([]*actor, clients)
	var settled, ended sync.WaitGroup
	settled.Add(clients)
	for i := range actors {
		actors[i] = &actor{t: t, w: w, settled: sync.OnceFunc(settled.Done)}
		ended.Go(actors[i].run)
	}
	time.AfterFunc(duration, func() { close(w.stop) })
	settled.Wait()
	eventually(t, "nobody is away any more", func() bool { return r.server.Suspended() == 0 })
	close(w.final)
	ended.Wait()
	var members []*model
	for _, a := range actors {
		if a.model != nil {
			members = append(members, a.model)
		}
	}
	checkRooms(t, members)
	w.checkSessions(t)
	for _, a := range actors {
		a.hangUp()
	}
	eventually(t, "the relay is empty", func() bool {
		peers, rooms := r.server.Population()
		return peers == 0 && rooms == 0
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d registrations; %v", len(w.registrations), w.counts)
	for _, must := range []string{"resumed", "not resumed", "refused uid", "called", "told", "outlasted", "ROOM_OK", "SESSION_OK", "violated"} {
		if w.counts[must] == 0 {
			t.Errorf("never: %s", must)
		}
	}
}

// actor is a client that does random things.
type actor struct {
	t       *testing.T
	w       *world
	settled func()

	ws     *websocket.Conn
	came   chan arrival
	behind []*websocket.Conn // connections that it left half open
	model  *model            // nil while it is not registered
}

func (a *actor) stopped() bool {
	select {
	case <-a.w.stop:
		return true
	default:
		return a.t.Failed()
	}
}

func (a *actor) run() {
	defer a.settled()
	for !a.stopped() {
		if !a.register() {
			continue
		}
		if err := a.act(); err != nil {
			a.t.Errorf("%s: %v", a.model.me.uid, err)
			return
		}
		if a.model == nil {
			a.hangUp()
		}
	}
	if a.model == nil {
		return
	}
	if err := a.finish(); err != nil {
		a.t.Errorf("%s, in the end: %v", a.model.me.uid, err)
	}
}

// dial connects, with a reader of its own.
func (a *actor) dial(query url.Values) bool {
	ws, _, err := websocket.DefaultDialer.Dial(a.w.relay.url+"/?"+query.Encode(), nil)
	if err != nil {
		a.t.Error(err)
		return false
	}
	came := make(chan arrival, 64)
	go func() {
		defer close(came)
		for {
			kind, message, err := ws.ReadMessage()
			came <- arrival{kind, string(message), err}
			if err != nil {
				return
			}
		}
	}()
	a.ws, a.came = ws, came
	return true
}

// hangUp ends all connections and readers.
func (a *actor) hangUp() {
	for _, ws := range append(a.behind, a.ws) {
		if ws != nil {
			ws.Close()
		}
	}
	a.behind = nil
	for a.came != nil {
		if _, ok := <-a.came; !ok {
			a.came = nil
		}
	}
}

// next waits for what comes next.
func (a *actor) next() arrival {
	select {
	case next, ok := <-a.came:
		if !ok {
			return arrival{err: errors.New("nothing comes after the end")}
		}
		return next
	case <-time.After(patience):
		return arrival{err: fmt.Errorf("nothing came in %v", patience)}
	}
}

// register tries a name that another client may have.
func (a *actor) register() bool {
	uid, viewer := choose(a.w.uids), rand.IntN(4) == 0
	me := a.w.register(uid, viewer)
	if !a.dial(a.query(me)) {
		return false
	}
	hello, refusal := "HELLO "+uid, "ERROR invalid peer uid"
	if rand.IntN(10) == 0 {
		hello, refusal = choose([]string{"ROOM x", "HELLOX", "", "SESSION x"}), "ERROR invalid protocol"
	}
	a.write(said{websocket.TextMessage, hello})
	switch reply := a.next(); {
	case reply.text == "HELLO" && hello == "HELLO "+uid:
		a.model = newModel(a.w, me)
		return true
	case reply.text != refusal:
		a.t.Errorf("%q is answered %s", hello, reply)
	case !websocket.IsCloseError(a.next().err, websocket.CloseProtocolError):
		a.t.Errorf("%q is refused without a close frame", hello)
	default:
		a.w.count("refused uid")
	}
	a.hangUp()
	return false
}

func (a *actor) query(me *registration) url.Values {
	query := url.Values{"resume": {fmt.Sprintf("secret of number %d", me.id)}}
	if me.viewer {
		query.Set("role", "viewer")
	}
	return query
}

// write sends. An error means that the relay has closed: the reader says why.
func (a *actor) write(s said) {
	_ = a.ws.WriteMessage(s.kind, []byte(s.text))
}

func (a *actor) say(text string) {
	kind := websocket.TextMessage
	if text == "\x00" {
		kind = websocket.BinaryMessage
	}
	a.model.say(kind, text)
	a.write(said{kind, text})
}

// hear takes a message or the end of the connection.
func (a *actor) hear(next arrival) error {
	if next.err != nil {
		defer func() { a.model = nil }()
		return a.model.mayEnd(next.err)
	}
	before := a.model.state
	err := a.model.hear(next.kind, next.text)
	if before == "outside" && a.model.state == "session" && a.model.me.called != "" {
		a.say(fmt.Sprintf("CALL %d", a.model.me.id))
	}
	return err
}

// act does random things until the registration ends, or the test.
func (a *actor) act() error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for a.model != nil {
		me := a.model.me
		select {
		case next := <-a.came:
			if err := a.hear(next); err != nil {
				return a.blame(me, err)
			}
		case <-pause.C:
			pause.Reset(rand.N(60 * time.Millisecond))
			if a.model.waits() {
				continue
			}
			if err := a.actOnce(); err != nil {
				return a.blame(me, err)
			}
		case <-a.w.stop:
			return nil
		}
	}
	return nil
}

func (a *actor) blame(me *registration, err error) error {
	if a.model == nil {
		a.model = newModel(a.w, me) // to tell who it was
	}
	return fmt.Errorf("registration %d: %w", me.id, err)
}

func (a *actor) actOnce() error {
	switch n := rand.IntN(100); {
	case n < 8:
		a.say("ROOM " + choose(a.w.rooms))
	case n < 14:
		a.say("SESSION " + choose(a.w.uids))
	case n < 20:
		a.say(choose([]string{"NOTHING", "HELLO x", "ROOM two words", "\x00", "ROOM_PEER_MSG x", "SESSION " + a.model.me.uid}))
	case n < 30:
		a.say("ROOM_PEER_LIST")
	case n < 85:
		a.tell()
	case n < 94:
		return a.comeBack()
	default:
		return a.end(n)
	}
	return nil
}

// tell sends a numbered message to a member, or to anybody.
func (a *actor) tell() {
	if a.model.state == "outside" {
		a.say("ROOM_PEER_MSG nobody 0 0")
		return
	}
	uid := choose(a.w.uids)
	if len(a.model.view) > 0 && rand.IntN(10) > 0 {
		uid = choose(a.model.view)
	}
	if uid != a.model.me.uid {
		a.say(fmt.Sprintf("ROOM_PEER_MSG %s %d %d", uid, a.model.me.id, a.model.nextNumber(uid)))
	}
}

// end leaves, in one of several ways.
func (a *actor) end(how int) error {
	me := a.model.me
	switch {
	case how < 96: // without a word
	case how < 98:
		a.w.mu.Lock()
		me.goodbye = true
		a.w.mu.Unlock()
		_ = a.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""))
		for a.next().err == nil { // up to the answer
		}
	default:
		if err := a.violate(); err != nil {
			return err
		}
	}
	a.model = nil
	return nil
}

// violate does what a peer is thrown out for. What came before is still heard.
func (a *actor) violate() error {
	violation := choose([]struct {
		frame []byte
		code  int
	}{
		{maskedFrame(0x81, []byte("\xff")), websocket.CloseInvalidFramePayloadData},
		{maskedFrame(0xc1, []byte("x")), websocket.CloseProtocolError},
		{maskedFrame(0x82, make([]byte, 4097)), websocket.CloseMessageTooBig},
	})
	if _, err := a.ws.NetConn().Write(violation.frame); err != nil {
		return nil // closed already; so it may be
	}
	a.w.count("violated")
	for {
		next := a.next()
		switch {
		case next.err == nil:
			if err := a.model.hear(next.kind, next.text); err != nil {
				return err
			}
		case websocket.IsCloseError(next.err, violation.code):
			return nil
		default: // the end of a session may have come first
			return a.model.mayEnd(next.err)
		}
	}
}

// comeBack loses the connection and resumes.
func (a *actor) comeBack() error {
	lost := time.Now()
	if rand.IntN(2) == 0 {
		a.ws.Close()
	} else { // half open: nothing is read any more
		_ = a.ws.SetReadDeadline(time.Unix(1, 0))
		a.behind = append(a.behind, a.ws)
	}
	for next := range a.came {
		if next.err == nil {
			if err := a.hear(next); err != nil {
				return err
			}
		} else if websocket.IsCloseError(next.err, websocket.CloseNormalClosure) {
			return a.hear(next) // what else came first has been heard
		}
	}
	if rand.IntN(10) == 0 { // perhaps too late
		select {
		case <-time.After(rand.N(3 * a.w.grace / 2)):
		case <-a.w.stop:
		}
	}
	return a.resume(lost)
}

func (a *actor) resume(lost time.Time) error {
	me := a.model.me
	query := a.query(me)
	query.Set("received", fmt.Sprint(a.model.received))
	if !a.dial(query) {
		return errors.New("cannot dial")
	}
	a.write(said{websocket.TextMessage, "HELLO " + me.uid})
	reply := a.next()
	var relayHas int
	if _, err := fmt.Sscanf(reply.text, "HELLO resumed %d", &relayHas); err == nil {
		a.w.count("resumed")
		return a.sayAgain(relayHas)
	}
	a.w.count("not resumed")
	inTime := time.Since(lost) < a.w.grace && a.model.state == "room"
	a.model = nil
	switch {
	case inTime:
		return fmt.Errorf("not resumed in time: %s", reply)
	case reply.text == "HELLO":
		fresh := a.w.register(me.uid, me.viewer)
		a.model = newModel(a.w, fresh)
		a.hangUp() // which the relay takes for a loss
		a.model = nil
		return nil
	case reply.text == "ERROR invalid peer uid":
		return nil
	}
	return fmt.Errorf("HELLO is answered %s", reply)
}

// sayAgain sends what the relay lacks.
func (a *actor) sayAgain(relayHas int) error {
	sent := a.model.me.sent
	if relayHas > len(sent) || len(a.model.asked) > 0 && relayHas < a.model.asked[0] {
		return fmt.Errorf("the relay has %d messages of %d, and answered all before %v", relayHas, len(sent), a.model.asked)
	}
	for _, s := range sent[relayHas:] {
		a.write(s)
	}
	return nil
}

// finish waits until all has been answered, and compares its view of the room
// with the relay's once more. The connection stays.
func (a *actor) finish() error {
	final, asked := a.w.final, false
	for a.model != nil {
		if a.model.settled() {
			a.settled()
			if asked {
				return nil
			}
		}
		select {
		case next := <-a.came:
			if err := a.hear(next); err != nil {
				return err
			}
		case <-final:
			final, asked = nil, true
			a.say("ROOM_PEER_LIST")
		case <-time.After(patience):
			return fmt.Errorf("no answer to %v", a.model.asked)
		}
	}
	return nil
}

func choose[T any](from []T) T {
	return from[rand.IntN(len(from))]
}
