package signalling

import "fmt"

// question is a ROOM or SESSION that the relay has yet to answer. After each new
// registration it is asked again.
type question struct {
	verb, id string
	ok       string // the verb of the answer that is not an ERROR

	answered chan struct{} // closed when one of the following is set
	reply    Reply
	err      error
}

func newQuestion(verb, id string) *question {
	q := &question{verb: verb, id: id, ok: VerbRoomOK, answered: make(chan struct{})}
	if verb == VerbSession {
		q.ok = VerbSessionOK
	}
	return q
}

func (q *question) command() string { return q.verb + " " + q.id }

func (q *question) settle(reply Reply, err error) {
	q.reply, q.err = reply, err
	close(q.answered)
}

// ask has a peer that is in no room and no call put a question to the relay, one
// at a time. An error wraps refused, or is why the client has ended.
func (c *Client) ask(q *question, refused error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.question != nil:
		return fmt.Errorf("%w %q: another Join or Call is under way", refused, q.id)
	case c.room != "":
		return fmt.Errorf("%w %q: already in room %q", refused, q.id, c.room)
	case c.call != nil:
		return fmt.Errorf("%w %q: already in a call", refused, q.id)
	}
	if err := c.backlog.pushNow(q.command()); err != nil {
		return err
	}
	c.question = q
	return nil
}

// answer takes a reply of the relay to the question. It reports false when there
// is no question, or this is no answer to it.
func (c *Client) answer(reply Reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.question
	if q == nil || reply.Verb != q.ok && reply.Verb != VerbError {
		return false
	}
	switch c.question = nil; reply.Verb {
	case VerbRoomOK:
		c.room = q.id
	case VerbSessionOK:
		c.call = c.newCall()
	}
	q.settle(reply, nil)
	return true
}
