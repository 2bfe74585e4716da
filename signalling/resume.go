package signalling

import (
	"fmt"
	"strconv"
	"strings"
)

// A peer that lost its connection takes its place at the relay again, if it
// comes back in time: it dials with the secret that it gave at its registration,
// and says HELLO with the same uid. If it says how many messages it has, then a
// relay that has the place still answers "HELLO resumed <n>", and "HELLO" means
// that it is a new registration. A peer that does not count gets "HELLO" either
// way, and what could not be written to its old connection.
//
// What was on its way when a connection broke may have arrived or not, so both
// sides say how far they got, counting messages since the registration, without
// HELLO and its answers: the peer in its query, the relay as n. Each then sends
// again what the other lacks, in order, ahead of anything else. A relay that
// cannot must not resume.
const (
	// QueryResume is the name of the query parameter with the secret: at least
	// MinResumeSecret bytes that nobody can guess.
	QueryResume = "resume"
	// QueryReceived is the name of the query parameter that says how many
	// messages of the relay the peer has received. Who comes back says it, also
	// when it is 0; at the registration it is not needed.
	QueryReceived = "received"

	// MinResumeSecret is the least length of the secret, in bytes as it stands
	// in the query.
	MinResumeSecret = 16
)

const resumed = "resumed"

// HelloResumed is the relay's answer to the HELLO of a peer that has its place
// again. Received is how many messages the relay has of it.
func HelloResumed(received uint64) string {
	return fmt.Sprintf("%s %s %d", VerbHello, resumed, received)
}

// parseHello reads what stands behind HELLO in the relay's answer.
func parseHello(arguments string) (Reply, bool) {
	if arguments == "" {
		return Reply{Verb: VerbHello}, true
	}
	word, count, _ := strings.Cut(arguments, " ")
	received, err := strconv.ParseUint(count, 10, 64)
	if word != resumed || err != nil {
		return Reply{}, false
	}
	return Reply{Verb: VerbHello, Resumed: true, Received: received}, true
}
