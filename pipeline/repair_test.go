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

	mu      sync.Mutex
	sockets []net.PacketConn
	running sync.WaitGroup
}

// open makes the way to an address and gives the port of its entrance.
func (w *lossyWay) open(to string) (port string, err error) {
	target, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var ends [2]net.PacketConn // what the two sides send to
	for i := range ends {
		if ends[i], err = net.ListenUDP("udp4", &net.UDPAddr{}); err != nil {
			return "", err
		}
		w.sockets = append(w.sockets, ends[i])
	}
	var other atomic.Pointer[net.Addr] // who sends to the target
	w.running.Go(func() {
		w.forward(ends[0], ends[1], func(from net.Addr) net.Addr { other.Store(&from); return target })
	})
	w.running.Go(func() {
		w.forward(ends[1], ends[0], func(net.Addr) net.Addr { return *other.Load() })
	})
	_, port, err = net.SplitHostPort(ends[0].LocalAddr().String())
	return port, err
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
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, socket := range w.sockets {
		socket.Close()
	}
	w.running.Wait()
}

// through is a line that gives only candidates that lead over a lossy way.
type through struct {
	*line
	way *lossyWay
}

func (l *through) SendCandidate(ctx context.Context, uid string, c signalling.Candidate) error {
	fields := strings.Fields(c.Candidate)
	if len(fields) > 5 {
		if !strings.EqualFold(fields[2], "udp") || strings.Contains(fields[4], ":") {
			return nil
		}
		port, err := l.way.open(net.JoinHostPort(fields[4], fields[5]))
		if err != nil {
			return err
		}
		fields[5] = port
		c.Candidate = strings.Join(fields, " ")
	}
	return l.line.SendCandidate(ctx, uid, c)
}

// mute is a line that gives no candidates.
type mute struct{ *line }

func (mute) SendCandidate(context.Context, string, signalling.Candidate) error { return nil }

// nacks counts how often the remotes of a pipeline have asked for packets again.
func nacks(p *Pipeline) (n int) {
	for _, r := range p.Reports() {
		for _, s := range r.Streams {
			if s.Sent {
				n += int(s.NACKs)
			}
		}
	}
	return n
}

// TestLossThatEnds: when some packets had to be sent again, and then none any
// more, the remote goes on being heard, about each stream, and asks for nothing.
func TestLossThatEnds(t *testing.T) {
	way := &lossyWay{}
	t.Cleanup(way.close)
	a, b := openPair(t)
	a.signaller = &through{a.signaller.(*line), way}
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
	time.Sleep(2 * checkInterval)
	before := nacks(a) + nacks(b)
	time.Sleep(silenceLimit + checkInterval)
	if more := nacks(a) + nacks(b) - before; more > 5 { // few may really be lost on a busy machine
		t.Errorf("%d packets are asked for that were not lost", more)
	}
	for _, p := range []*Pipeline{a, b} {
		awaitReport(t, p, func(r PeerReport) bool {
			known := 0 // how it arrives
			for _, s := range r.Streams {
				if s.Sent && s.RoundTrip > 0 {
					known++
				}
			}
			return known == 2
		})
	}
	if hearsA("a") != toA || hearsB("b") != toB {
		t.Error("the connection was made anew")
	}
	a.Remove("b")
	b.Remove("a")
	awaitNobody(t, a)
	awaitNobody(t, b)
}
