package metrics

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gstpeer/gstpeer/pipeline"
)

// reported collects reports as collector does.
type reported []pipeline.PeerReport

func (r reported) Describe(to chan<- *prometheus.Desc) { collector{}.Describe(to) }

func (r reported) Collect(to chan<- prometheus.Metric) {
	for _, report := range r {
		collectRemote(to, report)
	}
}

// TestLabels: whatever names remotes choose, their labels are short, and no two
// are the same, or there would be no metrics at all.
func TestLabels(t *testing.T) {
	long := strings.Repeat("a", 2*maxLabelSize)
	uids := []string{
		"cam", "cam…", "c ä m", long, long + "b", label(long), label(label(long)),
		strings.Repeat("ä", maxLabelSize), strings.Repeat("\x80", 2*maxLabelSize), "\x80", "\x81",
	}
	var reports reported
	for _, uid := range uids {
		reports = append(reports, pipeline.PeerReport{UID: uid, State: "new"})
		if l := label(uid); len(l) > maxLabelSize || !utf8.ValidString(l) {
			t.Errorf("%q has the label %q, want valid UTF-8 of at most %d bytes", uid, l, maxLabelSize)
		}
	}
	if label("cam") != "cam" {
		t.Errorf("cam has the label %q", label("cam"))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(reports)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(families[0].GetMetric()); len(families) != 1 || n != len(uids) {
		t.Errorf("%d remotes are shown, want %d", n, len(uids))
	}
}
