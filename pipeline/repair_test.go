package pipeline

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/signalling"
)

// lossyWay is the only way between two pipelines: each packet passes through a
// socket in between, which the one takes for the other.
type lossyWay struct {
	loses       atomic.Bool // one of twenty media packets
	media, lost atomic.Int64
	sockets     []net.PacketConn
	running     sync.WaitGroup
}

// open makes the way to an address and gives its entrance.
func (w *lossyWay) open(t *testing.T, to string) string {
	t.Helper()
	target, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.PacketConn // what the two sides send to
	for i := range ends {
		if ends[i], err = net.ListenUDP("udp4", &net.UDPAddr{}); err != nil {
			t.Fatal(err)
		}
	}
	w.sockets = append(w.sockets, ends[:]...)
	var other atomic.Pointer[net.Addr] // who sends to the target
	w.running.Go(func() {
		w.forward(ends[0], ends[1], func(from net.Addr) net.Addr { other.Store(&from); return target })
	})
	w.running.Go(func() {
		w.forward(ends[1], ends[0], func(net.Addr) net.Addr { return *other.Load() })
	})
	_, port, _ := net.SplitHostPort(ends[0].LocalAddr().String())
	return port
}

func (w *lossyWay) forward(in, out net.PacketConn, to func(from net.Addr) net.Addr) {
	packet := make([]byte, 2048)
	for {
		n, from, err := in.ReadFrom(packet)
		if err != nil {
			return
		}
		if n > 1 && isMedia(packet) && w.media.Add(1)%20 == 0 && w.loses.Load() {
			w.lost.Add(1)
			continue
		}
		_, _ = out.WriteTo(packet[:n], to(from))
	}
}

func (w *lossyWay) close() {
	for _, socket := range w.sockets {
		socket.Close()
	}
	w.running.Wait()
}

// through is a line that gives only candidates that lead over a lossy way.
type through struct {
	*line
	t   *testing.T
	way *lossyWay
}

func (l *through) SendCandidate(ctx context.Context, uid string, c signalling.Candidate) error {
	fields := strings.Fields(c.Candidate)
	if len(fields) > 5 {
		if !strings.EqualFold(fields[2], "udp") || strings.Contains(fields[4], ":") {
			return nil
		}
		fields[5] = l.way.open(l.t, net.JoinHostPort(fields[4], fields[5]))
		c.Candidate = strings.Join(fields, " ")
	}
	return l.line.SendCandidate(ctx, uid, c)
}

// mute is a line that gives no candidates.
type mute struct{ *line }

func (mute) SendCandidate(context.Context, string, signalling.Candidate) error { return nil }

// TestLossThatEnds: when some packets had to be sent again, and then none any
// more, the remote goes on being heard, about each stream.
func TestLossThatEnds(t *testing.T) {
	a, b := openPair(t)
	way := &lossyWay{}
	defer way.close()
	a.signaller = &through{a.signaller.(*line), t, way}
	b.signaller = mute{b.signaller.(*line)}
	hearsA, hearsB := listenTo(b), listenTo(a)
	way.loses.Store(true)
	a.Offer("b")
	awaitHeard(t, hearsA, "a", 2, 60)
	awaitHeard(t, hearsB, "b", 2, 60)
	way.loses.Store(false)
	t.Logf("%d of %d media packets were lost", way.lost.Load(), way.media.Load())
	if way.lost.Load() < 5 {
		t.Fatal("too few packets were lost: nothing is tested")
	}
	toA, toB := hearsA("a"), hearsB("b")
	time.Sleep(silenceLimit + 3*checkInterval)
	for _, p := range []*Pipeline{a, b} {
		report := awaitReport(t, p, func(r PeerReport) bool { return len(r.Streams) == 4 })
		for _, s := range report.Streams {
			if s.Sent && s.RoundTrip == 0 {
				t.Errorf("nothing is known of how the %s arrives at %s: %+v", s.Kind, report.UID, s)
			}
		}
	}
	if hearsA("a") != toA || hearsB("b") != toB {
		t.Error("the connection was made anew")
	}
	a.Remove("b")
	b.Remove("a")
	awaitNobody(t, a)
	awaitNobody(t, b)
}
