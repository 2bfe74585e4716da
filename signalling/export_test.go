package signalling

// Waiting is how many events wait for Recv.
func (c *Client) Waiting() int { return len(c.events) }

// MaxEvents is how many can.
const MaxEvents = maxEvents
