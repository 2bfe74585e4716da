package pipeline

import (
	"strconv"
	"strings"
)

// statistics are webrtcbin's, by the id of the entry: the names are those of
// W3C's webrtc-stats with dashes, the raw ones of GStreamer beside them.
type statistics map[string]statsEntry

type statsEntry map[string]string

// parseStatistics reads lines of entry, field and value.
func parseStatistics(text string) statistics {
	stats := make(statistics)
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(parts) < 3 {
			continue
		}
		entry := stats[parts[0]]
		if entry == nil {
			entry = make(statsEntry)
			stats[parts[0]] = entry
		}
		entry[parts[1]] = parts[2]
	}
	return stats
}

// number gives a count; 0 if it is not there.
func (e statsEntry) number(field string) uint64 {
	n, _ := strconv.ParseUint(e[field], 10, 64)
	return n
}
