package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// crowd is many registered peers.
type crowd []*peer

// gather registers peers, some at a time.
func gather(ctx context.Context, r *Relay, name string, peers int) (crowd, error) {
	c := make(crowd, peers)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(32)
	for i := range c {
		group.Go(func() (err error) {
			c[i], err = register(ctx, r, fmt.Sprintf("%s%d-%d", name, os.Getpid(), i))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		c.disperse()
		return nil, err
	}
	return c, nil
}

func (c crowd) disperse() {
	for _, p := range c {
		if p != nil {
			p.conn.Close()
		}
	}
}

// each runs f for every peer at once.
func (c crowd) each(f func(*peer) error) error {
	var group errgroup.Group
	for _, p := range c {
		group.Go(func() error { return f(p) })
	}
	return group.Wait()
}

// Gathering is what it takes for the peers of one room to know one another.
type Gathering struct {
	Joined, JoinedCPU time.Duration // until everyone knows everyone; the relay's share of CPU
	Left, LeftCPU     time.Duration // from half of them going until the others know
	LeftErr           error         // why some never learnt of it
}

// Gather has registered peers join one room at once, and half of them leave it
// at once when everyone knows everyone.
func Gather(ctx context.Context, r *Relay, peers int) (Gathering, error) {
	c, err := gather(ctx, r, "joiner", peers)
	if err != nil {
		return Gathering{}, err
	}
	defer c.disperse()
	var g Gathering
	g.Joined, g.JoinedCPU, err = timed(r, func() error {
		return c.each(func(p *peer) error { return p.join("crowd", peers-1) })
	})
	if err != nil {
		return g, err
	}
	leaving, staying := c[:peers/2], c[peers/2:]
	g.Left, g.LeftCPU, g.LeftErr = timed(r, func() error {
		var group errgroup.Group
		group.Go(func() error {
			leaving.disperse()
			return nil
		})
		group.Go(func() error {
			return staying.each(func(p *peer) error { return p.hears("ROOM_PEER_LEFT ", len(leaving)) })
		})
		return group.Wait()
	})
	return g, nil
}

func timed(r *Relay, f func() error) (wall, cpu time.Duration, err error) {
	before, err := r.CPU()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := f(); err != nil {
		return 0, 0, fmt.Errorf("load: %s: %w", r.Name, err)
	}
	wall = time.Since(began)
	after, err := r.CPU()
	return wall, after - before, err
}

// join joins a room and returns when the peer knows so many others.
func (p *peer) join(room string, others int) error {
	if err := p.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if err := p.say("ROOM " + room); err != nil {
		return err
	}
	answer, err := p.next()
	if err != nil {
		return err
	}
	present, ok := bytes.CutPrefix(answer, []byte("ROOM_OK "))
	if !ok {
		return fmt.Errorf("ROOM was answered with %q", answer)
	}
	return p.hears("ROOM_PEER_JOINED ", others-len(bytes.Fields(present)))
}

// hears takes so many notices and nothing else.
func (p *peer) hears(notice string, times int) error {
	for i := range times {
		got, err := p.next()
		if err != nil {
			return fmt.Errorf("after %d of %d %q: %w", i, times, notice, err)
		}
		if !bytes.HasPrefix(got, []byte(notice)) {
			return fmt.Errorf("got %q, want %q", got, notice)
		}
	}
	return nil
}

// Idle gives the resident memory of the relay per peer that is registered and
// does nothing, in bytes.
func Idle(ctx context.Context, r *Relay, peers int) (float64, error) {
	before, err := r.Resident()
	if err != nil {
		return 0, err
	}
	c, err := gather(ctx, r, "idle", peers)
	if err != nil {
		return 0, err
	}
	defer c.disperse()
	after, err := r.Resident()
	return float64(after-before) / float64(peers), err
}

// serveCrowd has peers registered that answer pings and do nothing else.
func serveCrowd(numberAt string) error {
	number, address, _ := strings.Cut(numberAt, "@")
	peers, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("load: a crowd wants NUMBER@HOST:PORT, got %q", numberAt)
	}
	relay := &Relay{Name: address, address: address}
	var coming, idle errgroup.Group
	coming.SetLimit(32)
	for i := range peers {
		coming.Go(func() error {
			p, err := register(context.Background(), relay, fmt.Sprintf("crowd%d-%d", os.Getpid(), i))
			if err != nil {
				return err
			}
			idle.Go(func() error {
				_, err := p.next()
				return err
			})
			return nil
		})
	}
	return errors.Join(coming.Wait(), idle.Wait())
}

// Churn has peers come one after another, each with a uid and a room of its own
// that nobody had before, and leave. It gives the resident memory of the relay
// in bytes after each of the steps, of which each has so many peers.
func Churn(ctx context.Context, r *Relay, steps, peers int) ([]int, error) {
	var number atomic.Int64
	var resident []int
	for range steps {
		group, ctx := errgroup.WithContext(ctx)
		for range 8 {
			group.Go(func() error {
				for range peers / 8 {
					if err := visit(ctx, r, number.Add(1)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return resident, err
		}
		now, err := r.Resident()
		if err != nil {
			return resident, err
		}
		resident = append(resident, now)
	}
	return resident, nil
}

func visit(ctx context.Context, r *Relay, number int64) error {
	p, err := register(ctx, r, fmt.Sprintf("visitor%d-%d", os.Getpid(), number))
	if err != nil {
		return err
	}
	return errors.Join(p.ask(fmt.Sprintf("ROOM visited%d", number), "ROOM_OK "), p.leave())
}
