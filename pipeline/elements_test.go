package pipeline

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestMakeWithin: what is made too late is freed, and what is made in time is not.
func TestMakeWithin(t *testing.T) {
	errFails := errors.New("fails")
	for name, test := range map[string]struct {
		takes time.Duration
		fails error
		want  error
		freed int
	}{
		"in time":            {takes: time.Second},
		"fails":              {takes: time.Second, fails: errFails, want: errFails},
		"too late":           {takes: time.Minute, want: errHangs, freed: 1},
		"fails, and so late": {takes: time.Minute, fails: errFails, want: errHangs},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				freed := 0
				made, err := makeWithin(testLog(t), "it", changeTimeout, func() (int, error) {
					time.Sleep(test.takes)
					return 1, test.fails
				}, func(int) { freed++ })
				if !errors.Is(err, test.want) || err == nil && made != 1 {
					t.Errorf("made %d, error %v, want %v", made, err, test.want)
				}
				time.Sleep(test.takes)
				synctest.Wait()
				if freed != test.freed {
					t.Errorf("freed %d times, want %d", freed, test.freed)
				}
			})
		})
	}
}
