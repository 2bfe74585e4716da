package signalling

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

var longest = strings.Repeat("x", MaxID)

func TestParseCommand(t *testing.T) {
	for _, c := range []struct {
		message string
		want    Command
		err     error
	}{
		{"HELLO a", Command{Verb: "HELLO", ID: "a"}, nil},
		{"HELLO \t a", Command{Verb: "HELLO", ID: "a"}, nil},
		{"HELLO\u00a0ä", Command{Verb: "HELLO", ID: "ä"}, nil},
		{"HELLO " + longest, Command{Verb: "HELLO", ID: longest}, nil},
		{"HELLO x" + longest, Command{Verb: "HELLO", ID: "x" + longest}, ErrInvalidUID},
		{"HELLO", Command{Verb: "HELLO"}, ErrInvalidUID},
		{"HELLO a b", Command{Verb: "HELLO", ID: "a b"}, ErrInvalidUID},
		{"HELLO a ", Command{Verb: "HELLO", ID: "a "}, ErrInvalidUID},
		{"HELLO a\xff", Command{Verb: "HELLO", ID: "a\xff"}, ErrInvalidUID},
		{"SESSION b", Command{Verb: "SESSION", ID: "b"}, nil},
		{"SESSION b c", Command{Verb: "SESSION", ID: "b c"}, nil},
		{"SESSION ", Command{Verb: "SESSION"}, ErrMissingArgument},
		{"ROOM r", Command{Verb: "ROOM", ID: "r"}, nil},
		{"ROOM session", Command{Verb: "ROOM", ID: "session"}, ErrInvalidRoomID},
		{"ROOM sessions", Command{Verb: "ROOM", ID: "sessions"}, nil},
		{"ROOM r\n", Command{Verb: "ROOM", ID: "r\n"}, ErrInvalidRoomID},
		{"ROOM", Command{Verb: "ROOM"}, ErrInvalidRoomID},
		{"ROOM_PEER_MSG a hi", Command{Verb: "ROOM_PEER_MSG", ID: "a", Text: []byte("hi")}, nil},
		{"ROOM_PEER_MSG  a  hi\nyou ", Command{Verb: "ROOM_PEER_MSG", ID: "a", Text: []byte(" hi\nyou ")}, nil},
		{"ROOM_PEER_MSG a\u2003\u2003hi", Command{Verb: "ROOM_PEER_MSG", ID: "a", Text: []byte("\u2003hi")}, nil},
		{"ROOM_PEER_MSG a ", Command{Verb: "ROOM_PEER_MSG", ID: "a", Text: []byte{}}, nil},
		{"ROOM_PEER_MSG a", Command{Verb: "ROOM_PEER_MSG"}, ErrMissingArgument},
		{"ROOM_PEER_MSG", Command{Verb: "ROOM_PEER_MSG"}, ErrMissingArgument},
		{"ROOM_PEER_LIST", Command{Verb: "ROOM_PEER_LIST"}, nil},
		{"ROOM_PEER_LIST \n", Command{Verb: "ROOM_PEER_LIST"}, nil},
		{"ROOM_PEER_LIST a", Command{}, ErrUnknownCommand},
		{"", Command{}, ErrUnknownCommand},
		{" HELLO a", Command{}, ErrUnknownCommand},
		{"hello a", Command{}, ErrUnknownCommand},
		{"HELLOa", Command{}, ErrUnknownCommand},
		{"SESSIONX a", Command{}, ErrUnknownCommand},
		{"ROOM_OK a", Command{}, ErrUnknownCommand},
	} {
		got, err := ParseCommand([]byte(c.message))
		if !errors.Is(err, c.err) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%.50q: got %+v, %v; want %+v, %v", c.message, got, err, c.want, c.err)
		}
	}
}

func TestParseReply(t *testing.T) {
	for _, c := range []struct {
		message string
		want    Reply
		err     error
	}{
		{"HELLO", Reply{Verb: "HELLO"}, nil},
		{"HELLO a", Reply{}, ErrUnknownReply},
		{"SESSION_OK", Reply{Verb: "SESSION_OK"}, nil},
		{"ROOM_OK ", Reply{Verb: "ROOM_OK", IDs: []string{}}, nil},
		{"ROOM_OK", Reply{Verb: "ROOM_OK", IDs: []string{}}, nil},
		{"ROOM_OK a b", Reply{Verb: "ROOM_OK", IDs: []string{"a", "b"}}, nil},
		{"ROOM_OK a x" + longest + " b\xff " + longest, Reply{Verb: "ROOM_OK", IDs: []string{"a", longest}}, nil},
		{"ROOM_PEER_LIST a", Reply{Verb: "ROOM_PEER_LIST", IDs: []string{"a"}}, nil},
		{"ROOM_PEER_JOINED a", Reply{Verb: "ROOM_PEER_JOINED", ID: "a"}, nil},
		{"ROOM_PEER_JOINED", Reply{Verb: "ROOM_PEER_JOINED"}, ErrInvalidUID},
		{"ROOM_PEER_LEFT a", Reply{Verb: "ROOM_PEER_LEFT", ID: "a"}, nil},
		{"ROOM_PEER_LEFT a b", Reply{Verb: "ROOM_PEER_LEFT", ID: "a b"}, ErrInvalidUID},
		{"ROOM_PEER_MSG a  hi\n", Reply{Verb: "ROOM_PEER_MSG", ID: "a", Text: " hi\n"}, nil},
		{"ROOM_PEER_MSG a ", Reply{Verb: "ROOM_PEER_MSG", ID: "a"}, nil},
		{"ROOM_PEER_MSG a", Reply{}, ErrUnknownReply},
		{"ERROR peer 'a' busy", Reply{Verb: "ERROR", Text: "peer 'a' busy"}, nil},
		{"ERROR", Reply{Verb: "ERROR"}, nil},
		{HelloResumed(17), Reply{Verb: "HELLO", Resumed: true, Received: 17}, nil},
		{"HELLO resumed", Reply{}, ErrUnknownReply},
		{"HELLO resumed -1", Reply{}, ErrUnknownReply},
		{"HELLO resumed 1 2", Reply{}, ErrUnknownReply},
		{"HELLO again 1", Reply{}, ErrUnknownReply},
		{"ROOM r", Reply{}, ErrUnknownReply},
		{`{"sdp": {}}`, Reply{}, ErrUnknownReply},
		{"", Reply{}, ErrUnknownReply},
	} {
		got, err := ParseReply(c.message)
		if !errors.Is(err, c.err) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %+v, %v; want %+v, %v", c.message, got, err, c.want, c.err)
		}
	}
}

// TestErrorsAreShort holds that an error does not carry a foreign message along.
func TestErrorsAreShort(t *testing.T) {
	const secret = "a=ice-pwd:secret"
	message := `{"sdp": {"type": "offer", "sdp": "v=0 ` + secret
	_, commandErr := ParseCommand([]byte(message))
	_, replyErr := ParseReply(message)
	for _, err := range []error{commandErr, replyErr} {
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want an error without the text", err)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{
		"HELLO a", "SESSION b", "ROOM r", "ROOM session", "ROOM_PEER_MSG a  hi\n", "ROOM_PEER_MSG a\u2003", "ROOM_PEER_LIST", "", "\xff \xff", "HELLO\u0085a",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		before := bytes.Clone(message)
		c, err := ParseCommand(message)
		if !bytes.Equal(message, before) {
			t.Fatal("the message was changed")
		}
		if err != nil {
			return
		}
		if !bytes.HasPrefix(message, []byte(c.Verb)) || !bytes.HasSuffix(message, c.Text) {
			t.Errorf("%q: parsed as %+v", message, c)
		}
		if c.Verb != VerbSession && strings.ContainsFunc(c.ID, unicode.IsSpace) {
			t.Errorf("%q: id %q has white space in it", message, c.ID)
		}
		if c.Verb == VerbRoomPeerMsg {
			again, err := ParseCommand([]byte(c.Verb + " " + c.ID + " " + string(c.Text)))
			if err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("%q: %+v again is %+v, %v", message, c, again, err)
			}
		}
	})
}

func FuzzParseReply(f *testing.F) {
	for _, seed := range []string{
		"HELLO", "HELLO resumed 1", "SESSION_OK", "ROOM_OK ", "ROOM_OK a b", "ROOM_PEER_JOINED a", "ROOM_PEER_LEFT a", "ROOM_PEER_MSG a  hi\n", "ERROR no", "", "\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, message string) {
		r, err := ParseReply(message)
		if err != nil {
			return
		}
		if r.Verb == VerbRoomPeerMsg && !strings.HasSuffix(message, r.Text) {
			t.Errorf("%q: text %q", message, r.Text)
		}
		for _, uid := range append(r.IDs, r.ID) {
			if uid != "" && CheckUID(uid) != nil {
				t.Errorf("%q: uid %q is invalid", message, uid)
			}
		}
	})
}
