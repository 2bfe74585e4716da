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
	want := func(s int, standstill time.Duration) {
		t.Helper()
		if got := r.standstill(at(s), 25*time.Second); got != standstill {
			t.Errorf("after %d s: a standstill of %s, want %s", s, got, standstill)
		}
	}
	r.note(1, reception{highest: 10}, at(0))
	r.expect(1)
	r.expect(2)
	want(100, 0) // before anything was said
	r.note(1, reception{highest: 20}, at(100))
	r.note(3, reception{highest: 30}, at(100))
	if r.get(1).highest != 20 || r.get(3).highest != 0 || len(r.of) != 2 {
		t.Errorf("got %+v", r.of)
	}
	want(124, 0)
	want(125, 25*time.Second) // without any report
	r.note(2, reception{highest: 40}, at(126))
	r.note(1, reception{highest: 20}, at(126))
	r.note(2, reception{highest: 40}, at(130))
	want(132, 4*time.Second)
	r.pause(at(134))
	r.note(2, reception{highest: 40}, at(136))
	want(137, 2*time.Second)
	r.note(2, reception{highest: 39}, at(138)) // it began anew
	want(140, 0)
}
