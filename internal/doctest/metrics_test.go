package doctest

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	media "github.com/gstpeer/gstpeer/pipeline/metrics"
	"github.com/gstpeer/gstpeer/server"
	relay "github.com/gstpeer/gstpeer/server/metrics"
)

// registered collects the rows that a table of metrics has to have, from those
// who register them.
type registered map[string]string

func (r registered) Register(c prometheus.Collector) error {
	descriptions := make(chan *prometheus.Desc, 100)
	c.Describe(descriptions)
	close(descriptions)
	for d := range descriptions {
		of := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch(d.String())
		r[of[1]] = row(of[1], kindOf(c, of[1]), strings.FieldsFunc(of[2], func(c rune) bool { return c == ',' || c == ' ' }))
	}
	return nil
}

func (r registered) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = r.Register(c)
	}
}

func (r registered) Unregister(prometheus.Collector) bool { return false }

func kindOf(c prometheus.Collector, name string) string {
	switch c.(type) {
	case prometheus.Histogram, *prometheus.HistogramVec:
		return "histogram"
	}
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return "gauge"
}

// row is the begin of one in the documentation.
func row(name, kind string, labels []string) string {
	for i, label := range labels {
		labels[i] = "`" + label + "`"
	}
	return strings.ReplaceAll("| `"+name+"` | "+kind+" | "+strings.Join(labels, ", ")+" |", "|  |", "| |")
}

// TestMetrics: the pages name every metric, with its type and labels, and no other.
func TestMetrics(t *testing.T) {
	all := registered{}
	media.New(all).Watch(nil)
	relay.New(all).Watch(nil)
	documented := map[string]string{}
	for _, page := range Pages(t) {
		for _, found := range regexp.MustCompile("(?m)^(\\| `(gstpeer_\\w+)` \\| \\w+ \\|[^|]*\\|)").FindAllStringSubmatch(page.Text, -1) {
			documented[found[2]] = found[1]
		}
		for _, name := range regexp.MustCompile(`\bgstpeer_\w+`).FindAllString(page.Text, -1) {
			if all[name] == "" {
				t.Errorf("%s: there is no metric %s", page.Name, name)
			}
		}
	}
	for name, want := range all {
		if documented[name] != want {
			t.Errorf("the row of a metric is %q, want %q", documented[name], want)
		}
	}
}

// TestReasons: the pages name every reason for an end and for a refusal.
func TestReasons(t *testing.T) {
	registry := prometheus.NewRegistry()
	media.New(registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				reasons = append(reasons, label.GetValue())
			}
		}
	}
	r, err := server.New(server.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	for reason := range r.Refusals() {
		reasons = append(reasons, string(reason))
	}
	if !slices.Contains(reasons, "no_answer") || !slices.Contains(reasons, "time_to_hello") {
		t.Fatalf("these are not all: %q", reasons)
	}
	for _, reason := range reasons {
		if text := page(t, "docs/embedding.md").Text; !strings.Contains(text, "`"+reason+"`") {
			t.Errorf("the reason %s is not documented", reason)
		}
	}
}

func page(t *testing.T, name string) Page {
	t.Helper()
	for _, p := range Pages(t) {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("there is no page %s", name)
	return Page{}
}
