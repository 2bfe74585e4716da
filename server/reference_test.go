package server_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/gstpeer/gstpeer/internal/load"
)

// referenceFaults is where the original relay departs from the protocol, by the
// case of TestConformance that shows it, and what it does instead.
var referenceFaults = map[string]string{
	"registration:_invalid_uids":                 "a missing argument disconnects with 1011, other refusals are a close without ERROR",
	"registration:_HELLO_comes_first":            "a missing argument disconnects with 1011, other refusals are a close without ERROR",
	"registration:_a_taken_uid":                  "the refusal is a close without ERROR",
	"registration:_reserved_atomically":          "the refusal is a close without HELLO or ERROR",
	"registration:_free_at_the_close_frame":      "a quick reconnect is thrown out by its own past",
	"registration:_not_twice":                    "a second HELLO is not answered",
	"registration:_a_half-open_holder_gives_way": "a half-open connection locks its owner out",
	"session:_refusals":                          "a session with oneself is accepted",
	"session:_verbs_are_exact":                   "verbs match by prefix",
	"room:_texts_pass_byte_for_byte":             "leading white space of a text is lost",
	"room:_refusals":                             "a missing argument disconnects",
	"room:_list":                                 "ROOM_PEER_LIST disconnects",
	"room:_invalid_ids":                          "a missing argument disconnects",
	"room:_deleted_with_its_last_member":         "members that left stay, and rooms are never deleted",
	"viewers:_hear_only_of_full_peers":           "there are no viewers",
	"outside:_unknown_messages":                  "an unknown message is not answered",
}

// TestReferenceConformance runs the conformance suite against the original relay,
// which GSTPEER_SIMPLE_SERVER names: it has the faults that are known, and no
// others. It takes some minutes, since the original leaves much unanswered.
func TestReferenceConformance(t *testing.T) {
	script := os.Getenv("GSTPEER_SIMPLE_SERVER")
	if script == "" {
		t.Skip("GSTPEER_SIMPLE_SERVER does not name the original relay")
	}
	original, err := load.Start(t.Context(), "original", load.Original(script))
	if err != nil {
		t.Fatal(err)
	}
	defer original.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	suite := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestConformance$", "-test.v")
	suite.Env = append(os.Environ(), "GSTPEER_RELAY_URL="+original.URL())
	output, _ := suite.CombinedOutput() // it fails, that is the point
	var failed []string
	for _, match := range regexp.MustCompile(`(?m)^\s+--- FAIL: TestConformance/(\S+)`).FindAllSubmatch(output, -1) {
		failed = append(failed, string(match[1]))
	}
	for _, name := range failed {
		if referenceFaults[name] == "" {
			t.Errorf("%s fails, which is not known", name)
		}
	}
	for name, fault := range referenceFaults {
		if !slices.Contains(failed, name) {
			t.Errorf("%s passes, although %s", name, fault)
		}
	}
	if t.Failed() {
		t.Logf("%s", output)
	}
}
