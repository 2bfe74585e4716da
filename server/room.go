package server

import (
	"slices"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/signalling"
)

// room is guarded by the registry's mutex.
type room struct {
	id      string
	members []*peer // in the order in which they joined
	bytes   int     // of their uids
}

// maxRoomBytes bounds the uids of a room: a list of them all is made for each
// peer that joins or asks for it.
const maxRoomBytes = 256 << 10

// maxListBytes is the longest list of members: besides the uids, of which none is
// shorter than a space, there is a space before each.
const maxListBytes = 2*maxRoomBytes + len(signalling.VerbRoomPeerList)

// sees tells whether p hears of q: viewers have nothing to say to one another.
func (p *peer) sees(q *peer) bool {
	return !p.viewer || !q.viewer
}

// join puts the peer into a room, which comes into being with its first member.
// The answer and the notices are queued before anything that the peer says next.
func (r *registry) join(p *peer, id string) error {
	rm := r.rooms[id]
	switch {
	case rm == nil && len(r.rooms) >= r.limits.MaxRooms:
		r.refusals.count(RefusedRooms)
		return refuse("too many rooms, join one that exists or try again later")
	case rm != nil && (len(rm.members) >= r.limits.MaxRoomPeers || rm.bytes+len(p.uid) > maxRoomBytes):
		r.refusals.count(RefusedRoomPeers)
		return refuse("room '%s' is full", id)
	case rm == nil:
		rm = &room{id: id}
		r.rooms[id] = rm
	}
	r.tellMembers(p, signalling.VerbRoomOK, rm)
	r.notify(rm, p, signalling.VerbRoomPeerJoined)
	rm.members = append(rm.members, p)
	rm.bytes += len(p.uid)
	p.room = rm
	return nil
}

// part takes the peer out of its room, which goes with its last member.
func (r *registry) part(p *peer) {
	rm := p.room
	p.room = nil
	rm.members = slices.DeleteFunc(rm.members, func(member *peer) bool { return member == p })
	rm.bytes -= len(p.uid)
	if len(rm.members) == 0 {
		delete(r.rooms, rm.id)
		return
	}
	r.notify(rm, p, signalling.VerbRoomPeerLeft)
}

// replace puts p in the place of old. Nobody is told: it is the same peer.
func (rm *room) replace(old, p *peer) {
	rm.members[slices.Index(rm.members, old)] = p
}

// notify tells the other members about p.
func (r *registry) notify(rm *room, p *peer, verb string) {
	notice := textFrame(verb + " " + p.uid)
	for _, member := range rm.members {
		if member != p && member.sees(p) {
			r.send(member, notice)
		}
	}
}

// tellMembers answers the peer with the members of a room, at its expense.
func (r *registry) tellMembers(p *peer, verb string, rm *room) {
	list := textFrame(verb + " " + rm.uidsFor(p))
	p.asked += len(list.payload)
	r.send(p, list)
}

// uidsFor lists the members that p is to know of, itself excepted.
func (rm *room) uidsFor(p *peer) string {
	uids := make([]string, 0, len(rm.members))
	for _, member := range rm.members {
		if member != p && p.sees(member) {
			uids = append(uids, member.uid)
		}
	}
	return strings.Join(uids, " ")
}

func (r *registry) obeyInRoom(p *peer, m message) error {
	if m.frame.kind == websocket.TextMessage && m.err == nil {
		switch m.command.Verb {
		case signalling.VerbRoomPeerMsg:
			return r.tell(p, m)
		case signalling.VerbRoomPeerList:
			r.tellMembers(p, signalling.VerbRoomPeerList, p.room)
			return nil
		}
	}
	return refuse("invalid msg, already in room")
}

// tell carries a text to another member of the room.
func (r *registry) tell(p *peer, m message) error {
	c := m.command
	to := r.peers[c.ID]
	switch {
	case to == nil:
		return refuse("peer '%s' not found", quotable(c.ID))
	case to.room != p.room || to != p && !to.sees(p):
		return refuse("peer '%s' is not in the room", c.ID)
	}
	length := len(signalling.VerbRoomPeerMsg) + len(p.uid) + len(c.Text) + 2
	if length > r.limits.MaxMessageBytes { // the receiver may take no more than that either
		r.refusals.count(RefusedMessageBytes)
		return refuse("message too big: with your uid for that of '%s' it has more than %d bytes", c.ID, r.limits.MaxMessageBytes)
	}
	text := make([]byte, 0, length)
	text = append(text, signalling.VerbRoomPeerMsg+" "+p.uid+" "...)
	text = append(text, c.Text...)
	r.send(to, frame{kind: websocket.TextMessage, payload: text, arrived: m.frame.arrived})
	return nil
}
