package pipeline

import (
	"strconv"
	"strings"
)

// What a remote may make us try.
const (
	maxCandidates    = 128
	maxCandidateSize = 1024
	// maxLocalNames bounds the names that a remote may have us look up: browsers
	// hide their addresses in one or two.
	maxLocalNames = 8
)

// fitForICE says whether a candidate attribute (RFC 8839, section 5.1) is one
// that libnice can take: it does not check what it gets. Candidates for TCP are
// of no use, since a remote would choose the address that we connect to.
func fitForICE(candidate string) bool {
	fields := strings.Fields(strings.TrimPrefix(candidate, "candidate:"))
	if len(candidate) > maxCandidateSize || !strings.HasPrefix(candidate, "candidate:") || len(fields) < 8 {
		return false
	}
	_, priorityErr := strconv.ParseUint(fields[3], 10, 32)
	_, portErr := strconv.ParseUint(fields[5], 10, 16)
	switch fields[7] {
	case "host", "srflx", "prflx", "relay":
	default:
		return false
	}
	return fields[1] == "1" && strings.EqualFold(fields[2], "udp") && priorityErr == nil && portErr == nil && fields[6] == "typ"
}

// isLocalName says whether a candidate hides its address behind a name that
// only the local network knows (mDNS).
func isLocalName(candidate string) bool {
	fields := strings.Fields(candidate)
	return len(fields) > 4 && strings.HasSuffix(strings.ToLower(fields[4]), ".local")
}
