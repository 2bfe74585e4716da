package server_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gstpeer/gstpeer/internal/proctest"
	"github.com/gstpeer/gstpeer/server"
	"github.com/gstpeer/gstpeer/server/token"
	"github.com/gstpeer/gstpeer/signalling"
)

var tokenSecret = []byte("a secret that only the tests know, of enough bytes")

func tokenKeys(t *testing.T) *token.Keys {
	t.Helper()
	keys := new(token.Keys)
	if err := keys.AddSecret(tokenSecret); err != nil {
		t.Fatal(err)
	}
	return keys
}

// mint makes a token that lasts an hour, unless the grant says otherwise.
func mint(t *testing.T, g token.Grant) string {
	t.Helper()
	if g.Expiry.IsZero() {
		g.Expiry = time.Now().Add(time.Hour)
	}
	minted, err := token.Mint(tokenSecret, "", g)
	if err != nil {
		t.Fatal(err)
	}
	return minted
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}

func TestUpgradeWantsToken(t *testing.T) {
	r := startRelay(t, server.Config{Tokens: tokenKeys(t)}, server.Patience{})
	expired := mint(t, token.Grant{Expiry: time.Now().Add(-time.Hour)})
	forViewers := mint(t, token.Grant{Role: signalling.RoleViewer})
	for _, c := range []struct {
		path   string
		header http.Header
		status int
		why    string
	}{
		{"/ws", nil, http.StatusUnauthorized, "a token is required"},
		{"/", nil, http.StatusUnauthorized, "a token is required"},
		{"/ws?token=", nil, http.StatusUnauthorized, "a token is required"},
		{"/ws?token=nonsense", nil, http.StatusUnauthorized, "malformed"},
		{"/ws", bearer("nonsense"), http.StatusUnauthorized, "malformed"},
		{"/ws?token=" + mint(t, token.Grant{}), bearer("nonsense"), http.StatusUnauthorized, "malformed"},
		{"/ws?token=" + expired, nil, http.StatusUnauthorized, "expired"},
		{"/ws?token=" + forViewers, nil, http.StatusForbidden, "?role=viewer"},
	} {
		r.dialRefused(t, c.path, c.header, c.status, c.why)
	}
	for path, header := range map[string]http.Header{
		"/ws?token=" + mint(t, token.Grant{}): nil,
		"/?role=viewer&token=" + forViewers:   nil,
		"/ws":                                 bearer(mint(t, token.Grant{})),
		"/ws?role=viewer":                     {"Authorization": {"bearer  " + forViewers}},
		"/?token=" + mint(t, token.Grant{}) + "&token=": {"Authorization": {"Basic dTpw"}},
	} {
		c := r.dialDeaf(t, path, header)
		c.listen()
		c.hello(id("bearer"))
	}
	if response, _ := get(t, r, "/?room=lab"); response.StatusCode != http.StatusOK {
		t.Errorf("the page: %s, want 200 without a token", response.Status)
	}
	if response, _ := get(t, r, "/ws"); response.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("401 with WWW-Authenticate %q, want Bearer", response.Header.Get("WWW-Authenticate"))
	}
}

func TestTokenLimitsUID(t *testing.T) {
	r := startRelay(t, server.Config{Tokens: tokenKeys(t)}, server.Patience{})
	exact, prefixed := mint(t, token.Grant{UID: "cam1"}), mint(t, token.Grant{UIDPrefix: "viewer-"})
	for bearer, uid := range map[string]string{exact: "cam2", prefixed: "cam1"} {
		c := r.dial(t, "/ws?token="+bearer)
		c.send("HELLO " + uid)
		c.want("ERROR uid not allowed by the token")
		c.wantClose(websocket.ClosePolicyViolation, "uid not allowed by the token")
	}
	r.dial(t, "/ws?token="+exact).hello("cam1")
	r.dial(t, "/ws?token="+prefixed).hello("viewer-1")
}

func TestTokenLimitsRoom(t *testing.T) {
	r := startRelay(t, server.Config{Tokens: tokenKeys(t)}, server.Patience{})
	guest, free := r.dial(t, "/ws?token="+mint(t, token.Grant{Room: "lab"})), r.dial(t, "/ws?token="+mint(t, token.Grant{}))
	guest.hello("guest")
	free.hello("free")
	guest.send("ROOM attic")
	guest.want("ERROR room 'attic' is not allowed by the token")
	guest.send("SESSION free")
	guest.want("ERROR sessions are not allowed by the token")
	free.send("SESSION guest")
	free.want("ERROR peer 'guest' is not allowed sessions by its token")
	guest.enter("lab")
	free.enter("lab", guest)
	guest.want("ROOM_PEER_JOINED free")
	if n := r.server.Refusals()[server.RefusedToken]; n != 2 {
		t.Errorf("%d refusals are counted, want 2: the room and the session", n)
	}
}

// TestTokenEnds has a token end that is within the leeway already.
func TestTokenEnds(t *testing.T) {
	ending := func() string { return mint(t, token.Grant{Expiry: time.Now().Add(3*time.Second - token.Leeway)}) }

	r := startRelay(t, server.Config{Tokens: tokenKeys(t)}, server.Patience{})
	stays := r.dial(t, "/ws?token="+mint(t, token.Grant{}))
	stays.hello("stays")
	stays.enter("lab")
	goes := r.dial(t, "/ws?token="+ending())
	goes.hello("goes")
	goes.enter("lab", stays)
	stays.want("ROOM_PEER_JOINED goes")
	goes.wantClose(websocket.ClosePolicyViolation, "token expired")
	stays.want("ROOM_PEER_LEFT goes")

	lenient := startRelay(t, server.Config{Tokens: tokenKeys(t), KeepExpired: true}, server.Patience{})
	kept := lenient.dial(t, "/ws?token="+ending())
	kept.hello("kept")
	witness := lenient.dial(t, "/ws?token="+ending()) // ends later, but both stay
	witness.hello("witness")
	expired := r.dial(t, "/ws?token="+ending()) // made last: when it is closed, the others' time is over
	expired.hello("expired")
	expired.wantClose(websocket.ClosePolicyViolation, "token expired")
	kept.wantNothing()
	witness.wantNothing()
}

// TestNoTokenInTheLog goes through all that can happen with a token, at the
// most talkative level.
func TestNoTokenInTheLog(t *testing.T) {
	var log proctest.Output
	r := startRelay(t, server.Config{
		Tokens: tokenKeys(t),
		Log:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, server.Patience{})
	good := mint(t, token.Grant{Room: "lab", UIDPrefix: "a"})
	bad := good[:len(good)-8] + "AAAAAAAA"
	expired := mint(t, token.Grant{Expiry: time.Now().Add(-time.Hour)})
	r.dialRefused(t, "/ws?token="+bad, nil, http.StatusUnauthorized, "not signed")
	r.dialRefused(t, "/ws?token="+expired, nil, http.StatusUnauthorized, "expired")
	r.dialRefused(t, "/ws", bearer(bad), http.StatusUnauthorized, "not signed")
	get(t, r, "/ws?token="+good) // no upgrade
	get(t, r, "/?token="+good)
	get(t, r, "/api/ice?token="+good)
	get(t, r, "/missing?token="+good)

	rejected := r.dial(t, "/ws?token="+good)
	rejected.send("HELLO b")
	rejected.want("ERROR uid not allowed by the token")
	c := r.dial(t, "/ws?token="+good)
	c.hello("a")
	c.enter("lab")
	c.send("ROOM attic")
	c.wantError()
	c.leave()

	said := log.String()
	if !strings.Contains(said, "expired") || !strings.Contains(said, "peer=a") {
		t.Errorf("the log lacks what happened:\n%s", said)
	}
	for _, bearer := range []string{good, bad, expired} {
		for _, part := range append(strings.Split(bearer, ".")[1:], bearer) {
			if strings.Contains(said, part) {
				t.Errorf("a part of a token is in the log:\n%s", said)
			}
		}
	}
}
