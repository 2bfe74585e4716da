// Package token is the permission to use a relay: signed JSON Web Tokens
// (RFC 7519) that say who may come, where to, as what, and until when.
//
// These claims are read; what is absent is not restricted:
//
//	exp         when the token ends, in seconds since 1970; required
//	nbf         when it begins
//	aud         must name the relay's audience, if the operator set one
//	uid         the one uid that may be registered
//	uid_prefix  what the uid must begin with
//	room        the one room that may be joined; sessions are not allowed then
//	role        "viewer" for receive-only peers, "peer" for any; any by default
//
// A claim that is there but empty or of another type makes the token invalid:
// it was meant as a restriction. Other claims are ignored.
package token

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gstpeer/gstpeer/signalling"
)

// Leeway is how far the clocks of those who sign tokens and of the relay may
// differ. A token is good for that much longer than it says.
const Leeway = 30 * time.Second

// maxToken bounds what is parsed, in bytes. Tokens that travel in a URL are
// much shorter.
const maxToken = 8 << 10

// RolePeer is the claim that allows every role.
const RolePeer = "peer"

// Why a token is not valid. The words are fit for an answer to its bearer:
// nothing of the token is in them.
var (
	// ErrMalformed is for what is no signed token, or not with an algorithm of a trusted key.
	ErrMalformed = errors.New("the token is malformed, or of an algorithm that is not accepted here")
	// ErrUntrusted is for a signature that no trusted key made.
	ErrUntrusted = errors.New("the token is not signed by a key that is trusted here")
	// ErrExpired is for a token whose end has passed.
	ErrExpired = errors.New("the token has expired")
	// ErrNotYetValid is for a token that begins, or was made, in the future.
	ErrNotYetValid = errors.New("the token is not valid yet")
	// ErrAudience is for a token that was made for something else than this relay.
	ErrAudience = errors.New("the token is for another audience")
	// ErrClaims is wrapped when a claim is missing or makes no sense.
	ErrClaims = errors.New("the token's claims are invalid")
)

// Grant is what a token allows. Zero fields restrict nothing, and neither does
// a nil *Grant.
type Grant struct {
	UID       string          // the uid that may be registered
	UIDPrefix string          // what the uid begins with
	Room      string          // the room that may be joined
	Role      signalling.Role // RoleViewer: nothing but that
	Expiry    time.Time       // when the token ends
}

// AllowsUID tells whether the uid may be registered.
func (g *Grant) AllowsUID(uid string) bool {
	return g == nil || (g.UID == "" || uid == g.UID) && strings.HasPrefix(uid, g.UIDPrefix)
}

// AllowsRoom tells whether the room may be joined.
func (g *Grant) AllowsRoom(room string) bool {
	return g == nil || g.Room == "" || room == g.Room
}

// AllowsSessions tells whether the peer may call, and be called, outside rooms.
func (g *Grant) AllowsSessions() bool {
	return g == nil || g.Room == ""
}

// AllowsRole tells whether the peer may be what it asks to be.
func (g *Grant) AllowsRole(role signalling.Role) bool {
	return g == nil || g.Role == "" || role == g.Role
}

// claims is the form of a Grant in a token. The pointers tell an empty claim
// from one that is absent.
type claims struct {
	jwt.Claims
	UID       *string `json:"uid,omitempty"`
	UIDPrefix *string `json:"uid_prefix,omitempty"`
	Room      *string `json:"room,omitempty"`
	Role      *string `json:"role,omitempty"`
}

func (c *claims) grant() (Grant, error) {
	g := Grant{Expiry: c.Expiry.Time()}
	for _, restriction := range []struct {
		name string
		from *string
		to   *string
	}{
		{"uid", c.UID, &g.UID}, {"uid_prefix", c.UIDPrefix, &g.UIDPrefix}, {"room", c.Room, &g.Room},
	} {
		switch {
		case restriction.from == nil:
		case *restriction.from == "":
			return Grant{}, fmt.Errorf("%w: %s is empty", ErrClaims, restriction.name)
		default:
			*restriction.to = *restriction.from
		}
	}
	switch {
	case c.Role == nil || *c.Role == RolePeer:
	case *c.Role == string(signalling.RoleViewer):
		g.Role = signalling.RoleViewer
	default:
		return Grant{}, fmt.Errorf("%w: role is neither %s nor %s", ErrClaims, signalling.RoleViewer, RolePeer)
	}
	return g, nil
}

// Mint signs a token with a shared secret. An empty audience names none.
func Mint(secret []byte, audience string, g Grant) (string, error) {
	if err := checkSecret(secret); err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	role := string(g.Role)
	c := claims{
		Claims:    jwt.Claims{Expiry: jwt.NewNumericDate(g.Expiry)},
		UID:       present(g.UID),
		UIDPrefix: present(g.UIDPrefix),
		Room:      present(g.Room),
		Role:      present(role),
	}
	if audience != "" {
		c.Audience = jwt.Audience{audience}
	}
	return jwt.Signed(signer).Claims(c).Serialize()
}

func present(claim string) *string {
	if claim == "" {
		return nil
	}
	return &claim
}
