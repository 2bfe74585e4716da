package load

import (
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

// Talk is what two members of a room say to one another while six others join,
// talk and leave, over and over.
type Talk struct {
	// Deaf is set to have one more member, which reads nothing of what the six
	// tell it. When the relay drops it, another one comes.
	Deaf     bool
	Duration time.Duration
}

const bustlers = 6

// Measure tells how long messages between the two are under way.
func (t Talk) Measure(ctx context.Context, r *Relay) (Speed, error) {
	deaf, err := gatherIn(ctx, r, "talk", "deaf", 1)
	if err != nil {
		return Speed{}, err
	}
	defer deaf.disperse()
	two, err := gatherIn(ctx, r, "talk", "talker", 2)
	if err != nil {
		return Speed{}, err
	}
	defer two.disperse()

	over := time.Now().Add(t.Duration)
	var number atomic.Int64
	var bustle, talk errgroup.Group
	for range bustlers {
		bustle.Go(func() error { return t.bustle(ctx, r, over, &number) })
	}
	if t.Deaf {
		bustle.Go(func() error { return replaceDropped(ctx, r, over, deaf) })
	}
	var latencies []uint32
	talk.Go(func() (err error) {
		latencies, err = two[0].converse(over, "talker1", true)
		return err
	})
	talk.Go(func() error {
		_, err := two[1].converse(over, "talker0", false)
		return err
	})
	err = errors.Join(talk.Wait(), bustle.Wait())
	s := Speed{Messages: len(latencies), Wall: t.Duration}
	s.setLatencies(latencies)
	return s, err
}

// gatherIn registers peers in a room, of which nobody reads more yet.
func gatherIn(ctx context.Context, r *Relay, room, name string, peers int) (crowd, error) {
	var c crowd
	for i := range peers {
		p, err := register(ctx, r, name+strconv.Itoa(i))
		if err == nil {
			c = append(c, p)
			err = p.ask("ROOM "+room, "ROOM_OK ")
		}
		if err != nil {
			c.disperse()
			return nil, err
		}
	}
	return c, nil
}

// replaceDropped has a new deaf member come when the relay drops the last one.
func replaceDropped(ctx context.Context, r *Relay, over time.Time, deaf crowd) error {
	for time.Now().Before(over) {
		next, err := gatherIn(ctx, r, "talk", "deaf", 1) // waits while the uid is taken
		switch {
		case err == nil:
			deaf[0].conn.Close()
			deaf[0] = next[0]
		case !errors.Is(err, errAnswer) && !errors.Is(err, errClosed):
			return err
		}
	}
	return nil
}

// bustle joins, tells the deaf one much, and leaves.
func (t Talk) bustle(ctx context.Context, r *Relay, over time.Time, number *atomic.Int64) error {
	filler := strings.Repeat("x", 32<<10)
	for time.Now().Before(over) {
		p, err := register(ctx, r, fmt.Sprintf("bustler%d-%d", os.Getpid(), number.Add(1)))
		if err != nil {
			return err
		}
		err = p.ask("ROOM talk", "ROOM_OK ")
		for i := 0; i < 4 && t.Deaf && err == nil; i++ {
			err = p.say("ROOM_PEER_MSG deaf0 " + filler)
		}
		if err := errors.Join(err, p.leave()); err != nil {
			return err
		}
	}
	return nil
}

// converse answers each message of the other, and skips notices.
func (p *peer) converse(over time.Time, other string, first bool) (latencies []uint32, err error) {
	if err := p.conn.SetDeadline(over); err != nil {
		return nil, err
	}
	say := func() error {
		return p.say(fmt.Sprintf("ROOM_PEER_MSG %s %d", other, time.Now().UnixNano()))
	}
	if first {
		err = say()
	}
	for err == nil {
		var got []byte
		if got, err = p.next(); err != nil {
			break
		}
		sent, ok := strings.CutPrefix(string(got), "ROOM_PEER_MSG "+other+" ")
		if !ok {
			continue
		}
		var nanoseconds int64
		if nanoseconds, err = strconv.ParseInt(sent, 10, 64); err != nil {
			break
		}
		latencies = append(latencies, uint32((time.Now().UnixNano()-nanoseconds)/1000))
		err = say()
	}
	return latencies, unlessTimeout(err)
}
