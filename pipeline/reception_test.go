package pipeline

import (
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	// The example of RFC 3550, figure 2.
	const arrived, lastReport, delay = 0xb710_8000, 0xb705_2000, 0x0005_4000
	now := time.Unix(0xb44d_b710-2_208_988_800, 500_000_000)
	if got := shortNTP(now); got != arrived {
		t.Errorf("got %#x, want %#x", got, arrived)
	}
	for name, test := range map[string]struct {
		lastReport, delay uint32
		want              time.Duration
	}{
		"known":                       {lastReport, delay, 6125 * time.Millisecond},
		"no report of ours came":      {0, delay, 0},
		"longer kept than it is old":  {lastReport, 0x0c_0000, 0},
		"the clock was put back":      {arrived + 0x1_0000, 0, 0},
		"at once":                     {arrived, 0, 0},
		"one unit":                    {arrived - 1, 0, time.Second >> 16},
		"across the end of the range": {arrived - 0x7fff_ffff, 0, 0x7fff_ffff * time.Second >> 16},
	} {
		if got := roundTrip(now, test.lastReport, test.delay); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// TestReceptions: what a remote says about sources that are not ours is not
// kept, and how long nothing arrives is told by what it says about ours.
func TestReceptions(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var r receptions
	want := func(after string, standstill time.Duration) {
		t.Helper()
		if got := r.standstill(); got != standstill {
			t.Errorf("%s: a standstill of %s, want %s", after, got, standstill)
		}
	}
	want("before anything is sent", 0)
	r.note(1, reception{highest: 10}, at(0))
	r.expect(1, at(10))
	r.expect(2, at(10))
	want("before any report", 0)
	r.report(at(13))
	r.note(1, reception{}, at(14))
	want("while nothing has arrived", 4*time.Second)
	r.note(1, reception{highest: 20, roundTrip: 5}, at(100))
	r.note(3, reception{highest: 30}, at(100))
	if r.get(1).highest != 20 || r.get(3).highest != 0 || len(r.of) != 2 {
		t.Errorf("got %+v", r.of)
	}
	want("after the first packets", 0)
	r.note(2, reception{highest: 40}, at(126))
	r.note(1, reception{highest: 20}, at(126))
	want("after some of another source", 0)
	r.note(2, reception{highest: 40}, at(130))
	want("after none", 4*time.Second)
	if got := r.get(1).roundTrip; got != 5 {
		t.Errorf("a round trip of %d, want that known before", got)
	}
	for s := 132; s < 200; s += 2 {
		r.pause(at(s))
	}
	want("while nothing is sent", 0)
	r.report(at(200))
	want("after the first of an empty report", 2*time.Second)
	r.note(2, reception{highest: 39}, at(201))
	want("after it began anew", 0)
}
