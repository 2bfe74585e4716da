package signalling

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

func pushed(t *testing.T, from, to int) *backlog {
	t.Helper()
	b := newBacklog()
	for i := from; i <= to; i++ {
		if err := b.push(t.Context(), anyRegistration, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func wantNext(t *testing.T, b *backlog, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if got, ok := b.next(); !ok || got != fmt.Sprint(i) {
			t.Fatalf("got %q, %v; want %d", got, ok, i)
		}
	}
	if got, ok := b.next(); ok {
		t.Fatalf("got %q, want no more", got)
	}
}

func TestBacklogResumes(t *testing.T) {
	b := pushed(t, 1, 10)
	wantNext(t, b, 1, 10)
	b.acknowledge(3)
	b.disconnect()
	if err := b.push(t.Context(), anyRegistration, "11"); err != nil {
		t.Fatal(err)
	}
	for _, received := range []uint64{0, 2, 11, 12} { // forgotten, or never written
		if b.resume(received) {
			t.Errorf("resumed behind %d", received)
		}
	}
	if !b.resume(7) {
		t.Fatal("does not resume behind 7")
	}
	wantNext(t, b, 8, 11)
	b.acknowledge(12) // nonsense, and without effect
	if !b.resume(11) {
		t.Fatal("does not resume behind 11")
	}
	wantNext(t, b, 12, 11)
}

func TestBacklogRestarts(t *testing.T) {
	b := pushed(t, 1, 5)
	wantNext(t, b, 1, 5)
	b.disconnect()
	b.restart("1", "2")
	wantNext(t, b, 1, 2)
	if !b.resume(1) {
		t.Fatal("does not resume behind 1")
	}
	wantNext(t, b, 2, 2)
}

// TestBacklogForgets holds that what was written does not pile up at a relay
// that never answers a ping, and that such a gap is known.
func TestBacklogForgets(t *testing.T) {
	b := newBacklog()
	for i := 1; i <= 1000; i++ {
		if err := b.push(t.Context(), anyRegistration, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		wantNext(t, b, i, i)
	}
	if len(b.messages) != maxUnacknowledged {
		t.Errorf("%d messages are kept, want %d", len(b.messages), maxUnacknowledged)
	}
	if b.resume(1000 - maxUnacknowledged - 1) {
		t.Error("resumed with a gap")
	}
	if !b.resume(1000 - maxUnacknowledged) {
		t.Fatal("does not resume with what is kept")
	}
	wantNext(t, b, 1001-maxUnacknowledged, 1000)
}

func TestBacklogFull(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*backlog, context.CancelFunc)
		want   error
	}{
		{"written", func(b *backlog, _ context.CancelFunc) { b.next() }, nil},
		{"disconnected", func(b *backlog, _ context.CancelFunc) { b.disconnect() }, ErrDisconnected},
		{"restarted", func(b *backlog, _ context.CancelFunc) { b.restart() }, nil},
		{"closed", func(b *backlog, _ context.CancelFunc) { b.close(ErrClosed) }, ErrClosed},
		{"cancelled", func(_ *backlog, cancel context.CancelFunc) { cancel() }, context.Canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := pushed(t, 1, maxUnsent)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				result := make(chan error, 1)
				go func() { result <- b.push(ctx, anyRegistration, "one more") }()
				synctest.Wait()
				select {
				case err := <-result:
					t.Fatalf("did not wait: %v", err)
				default:
				}
				if err := b.pushNow("ROOM"); err != nil {
					t.Errorf("pushNow: %v", err)
				}
				b.next() // makes place for what pushNow added
				synctest.Wait()
				test.change(b, cancel)
				if err := <-result; !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
			})
		})
	}
}

// TestBacklogOfAnotherRegistration holds that what is for one registration is not
// said in the next.
func TestBacklogOfAnotherRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := pushed(t, 1, maxUnsent)
		waits := make(chan error, 1)
		go func() { waits <- b.push(t.Context(), 1, "of the first") }()
		synctest.Wait()
		b.restart("1")
		for _, err := range []error{<-waits, b.push(t.Context(), 1, "of the first")} {
			if !errors.Is(err, ErrNoCall) {
				t.Errorf("got %v, want ErrNoCall", err)
			}
		}
		if err := b.push(t.Context(), b.current(), "2"); err != nil {
			t.Error(err)
		}
		wantNext(t, b, 1, 2)
	})
}

func TestBacklogFullAndDisconnected(t *testing.T) {
	b := pushed(t, 1, maxUnsent)
	b.disconnect()
	if err := b.push(t.Context(), anyRegistration, "one more"); !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v, want ErrDisconnected", err)
	}
	if !b.resume(0) {
		t.Fatal("does not resume")
	}
	wantNext(t, b, 1, maxUnsent)
}

func TestBacklogClosed(t *testing.T) {
	b := pushed(t, 1, 2)
	b.close(ErrTokenRefused)
	b.close(ErrClosed) // the first reason stays
	for _, err := range []error{b.push(t.Context(), anyRegistration, "3"), b.pushNow("3")} {
		if !errors.Is(err, ErrTokenRefused) {
			t.Errorf("got %v, want ErrTokenRefused", err)
		}
	}
	wantNext(t, b, 1, 2) // is still to be written
}
